"""How rare each token of a tokenizer is in a collection of documents: the first weights of queries and of the built base."""

from collections.abc import Iterable
from itertools import compress, islice

import pyarrow as pa
import torch
from transformers import PreTrainedTokenizerBase

from stages.rows.normalisation import HashSet, hash_texts, normal_form


def idf(tokenizer: PreTrainedTokenizerBase, documents: Iterable[str], vocabulary: int) -> torch.Tensor:
    """Inverse document frequency of each token, log(1 + (N − df + 0.5) / (df + 0.5)) as in BM25; 0 for special tokens.

    A document that occurs in several rows, such as a passage with several questions, counts once. Memory: 8 bytes per distinct document.

    Args:
        documents: read once, 10,000 at a time.
        vocabulary: the model's number of tokens, which may exceed the tokenizer's.

    Returns:
        float32 of shape (vocabulary,).
    """
    frequency = torch.zeros(vocabulary, dtype=torch.long)
    seen = HashSet()
    iterator = iter(documents)
    while rows := list(islice(iterator, 10_000)):
        new = seen.add(hash_texts(normal_form(pa.array(rows, pa.string()))))
        if texts := list(compress(rows, new)):
            for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]:
                frequency[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
    weight = torch.log1p((len(seen) - frequency + 0.5) / (frequency + 0.5))
    weight[tokenizer.all_special_ids] = 0.0
    return weight
