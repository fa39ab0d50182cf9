"""A dense base made from nothing but training texts, for csr: latent semantic analysis as a sentence-transformers model.

Deerwester et al. 1990, "Indexing by Latent Semantic Analysis". A text's vector is the mean of its word pieces' vectors, each as long as
the piece is rare. It is not trained on pairs: a small base learns those by heart, and then says little of new texts.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerFast

DIMENSION = 384  # as the smaller dense models have


def make_dense(base: Path, documents: Iterable[str], folder: Path, *, seed: int, dimension: int = DIMENSION) -> None:
    """Write to ``folder`` a dense model over the word pieces of the tokenizer in ``base``.

    Args:
        documents: the texts to learn from; each counts once. A piece that none of them holds gets a random direction.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(base))
    vectorizer = TfidfVectorizer(analyzer=tokenizer.tokenize, sublinear_tf=True)
    counts = vectorizer.fit_transform(list(dict.fromkeys(documents)))
    analysis = TruncatedSVD(min(dimension, *counts.shape), random_state=seed).fit(counts)
    pieces = tokenizer.convert_tokens_to_ids(list(vectorizer.get_feature_names_out()))
    directions = np.random.default_rng(seed).standard_normal((len(tokenizer), dimension))
    directions[pieces] = 0
    directions[pieces, : analysis.n_components] = (analysis.components_ * analysis.singular_values_[:, None]).T
    rarity = np.full(len(tokenizer), vectorizer.idf_.max())
    rarity[pieces] = vectorizer.idf_
    weights = normalize(torch.from_numpy(directions), dim=1) * torch.from_numpy(rarity)[:, None]
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights.float()), Normalize()], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
