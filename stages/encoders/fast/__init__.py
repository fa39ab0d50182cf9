"""What makes a step cheap and leaves no trace in the model: sentence-transformers' modules, by subclasses of ours.

`model.make_fast` gives a model these classes; `model.FastEncoder` saves it as the stock one that it computes like.

- `transformer.FastTransformer`: its texts go through in length buckets, and it hands on the input of the SPLADE head (`head`).
- `pooling.FastPooling`: applies the head and takes each text's maxima in one operation (`max_pooled_linear`, `triton_maxima`).
- `loss.OnePassSpladeLoss`: queries and documents in one pass, which length buckets make worthwhile.
"""
