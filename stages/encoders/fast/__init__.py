"""What makes a step cheap and leaves no trace in the model: subclasses of sentence-transformers' modules.

`model.make_fast` gives a model these classes; a `model.FastEncoder` saves itself as a stock model.

- `transformer.FastTransformer`: encodes in length buckets, and passes on the input of the SPLADE head (`head`) instead of logits.
- `pooling.FastPooling`: applies the head and takes each text's maxima in one operation (`max_pooled_linear`, `triton_maxima`).
- `loss.OnePassSpladeLoss`: encodes queries and documents in one pass, which pays with length buckets.
"""
