"""Tiny models with random weights and a small made-up retrieval set, built without network."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.base.modules.router import Router
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SparseStaticEmbedding, SpladePooling
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from stages.retrieval.sets import RetrievalSet

WORDS = [first + second for first in ("fjell", "hav", "skog", "by", "vei", "sne") for second in ("hus", "tur", "vann")]

README = """---
configs:
- config_name: corpus
  data_files: [{split: test, path: corpus/test-*}]
- config_name: queries
  data_files: [{split: test, path: queries/test-*}]
- config_name: qrels
  data_files: [{split: test, path: qrels/test-*}]
---
"""


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer BERT of random weights with a word-piece tokenizer that knows `WORDS`."""
    folder = tmp_path_factory.mktemp("bert")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={token: index for index, token in enumerate(tokens)})
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def splade(bert: Path) -> SparseEncoder:
    modules = [Transformer(str(bert), transformer_task="fill-mask", max_seq_length=32), SpladePooling("max")]
    return SparseEncoder(modules=modules, device="cpu")


@pytest.fixture(scope="session")
def inference_free(bert: Path) -> SparseEncoder:
    document = [Transformer(str(bert), transformer_task="fill-mask", max_seq_length=32), SpladePooling("max")]
    weights = torch.linspace(0.1, 2.0, len(document[0].tokenizer))
    query = [SparseStaticEmbedding(tokenizer=document[0].tokenizer, weight=weights)]
    router = Router.for_query_document(query_modules=query, document_modules=document)
    return SparseEncoder(modules=[router], device="cpu")


@pytest.fixture(scope="session")
def csr(bert: Path) -> SparseEncoder:
    torch.manual_seed(7)
    transformer = Transformer(str(bert), max_seq_length=32)
    autoencoder = SparseAutoEncoder(input_dim=16, hidden_dim=64, k=8, k_aux=8)
    return SparseEncoder(modules=[transformer, Pooling(16, pooling_mode="mean"), autoencoder], device="cpu")


@pytest.fixture(scope="session")
def dense(bert: Path) -> SentenceTransformer:
    modules = [Transformer(str(bert), max_seq_length=32), Pooling(16, pooling_mode="mean")]
    return SentenceTransformer(modules=modules, device="cpu")


@pytest.fixture(scope="session")
def binary_set() -> RetrievalSet:
    """130 documents (more than the 100 retrieved), 20 queries, one to three relevant documents each."""
    drawn = random.Random(3)
    corpus = {f"d{index}": " ".join(drawn.choices(WORDS, k=drawn.randint(3, 20))) for index in range(130)}
    queries = {f"q{index}": " ".join(drawn.choices(WORDS, k=drawn.randint(1, 4))) for index in range(20)}
    qrels = {query: dict.fromkeys(drawn.sample(sorted(corpus), drawn.randint(1, 3)), 1.0) for query in queries}
    return RetrievalSet("made-up", "nb", queries, corpus, qrels, entry="made-up")


def write(path: Path, columns: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def swedn(binary_set: RetrievalSet, tmp_path: Path) -> Path:
    """`binary_set` as the data set of SwednRetrieval: one folder each for corpus, queries and qrels."""
    folder = tmp_path / "SwednRetrieval"
    titles = [text.split()[0] for text in binary_set.corpus.values()]
    texts = [" ".join(text.split()[1:]) for text in binary_set.corpus.values()]
    write(folder / "corpus/test-0.parquet", {"_id": list(binary_set.corpus), "title": titles, "text": texts})
    queries = {"_id": list(binary_set.queries), "text": list(binary_set.queries.values())}
    write(folder / "queries/test-0.parquet", queries)
    pairs = [(query, document) for query, documents in binary_set.qrels.items() for document in documents]
    qrels = {"query-id": [q for q, _ in pairs], "corpus-id": [d for _, d in pairs], "score": [1] * len(pairs)}
    write(folder / "qrels/test-0.parquet", qrels)
    (folder / "README.md").write_text(README)
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every look-up and connection, and fail if there was one: libraries swallow the error and continue."""
    tried: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> NoReturn:
        tried.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert tried == []
