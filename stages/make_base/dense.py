"""Make a dense base model for csr from training texts alone: latent semantic analysis as a sentence-transformers model.

Deerwester et al. 1990, "Indexing by Latent Semantic Analysis". A text's vector is the mean of its word pieces' vectors, whose lengths are
the pieces' inverse document frequencies. The model is not trained on pairs: so small a model would memorise them and not generalise.
It is a stand-in for a real dense model: on the sample its nDCG@10 is .066, and BM25's .209.
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

DIMENSION = 384  # that of common small dense models


def make_dense(base: Path, documents: Iterable[str], folder: Path, *, seed: int, dimension: int = DIMENSION) -> None:
    """Write to ``folder`` a dense model over the word pieces of the tokenizer in ``base``.

    Args:
        documents: texts to analyse; repeated ones count once. A piece that occurs in none of them gets a random direction.
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
