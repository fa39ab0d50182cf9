"""Milliseconds to encode one query: with torch, and as `nordic-sparse export` writes it for onnxruntime and for numpy.

    python benchmarks/query_encoding.py
    python benchmarks/query_encoding.py --quality models/final data/formatted/sample-*/dev.parquet

The encoders have random weights, which take as long as trained ones: 12 layers, hidden size 768, 30,000 word pieces, as BERT base; csr
keeps 64 of 2,048 latents. Each encodes 24 made-up queries of 4 to 12 words, one at a time, in turns with the others; the median of three
rounds counts, in CPU time of one thread, which other programs disturb less than the clock. Tokenizing is part of it.

``--quality``: nDCG@10 of a trained SPLADE or csr model with the queries of each of its exports, on held-out rows. Needs the extra onnx.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from data_pipeline import vocabulary
from splade_head import hardware

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
QUERIES, ROUNDS = 24, 3
Encode = Callable[[str], Any]


def network(model: Any, folder: Path, int8: bool) -> Any:
    """The exported encoder, on one thread."""
    from onnxruntime import InferenceSession, SessionOptions

    from stages.export import network
    from stages.export.encode_onnx import QueryEncoder

    folder.mkdir()
    network.write(model, folder, None, int8)
    encoder, one = QueryEncoder(folder), SessionOptions()
    one.intra_op_num_threads = 1
    encoder.session = InferenceSession(str(folder / "model.onnx"), one, providers=["CPUExecutionProvider"])
    return encoder


def tables(model: Any, folder: Path, kind: str) -> Encode:
    """The exported inference-free encoder: by the package tokenizers, or with numpy alone."""
    from tokenizers import Tokenizer

    from stages.export import encode_tokenizers, encode_wordpiece, query_encoder

    folder.mkdir()
    query_encoder.write(model, folder, "model", None)
    if kind == "numpy":
        return encode_wordpiece.QueryEncoder(folder)
    fast = query_encoder.tokenizer_json(query_encoder.static_query(model).tokenizer) | {"post_processor": None}
    Tokenizer.from_str(json.dumps(fast)).save(str(folder / "tokenizer.json"))
    return encode_tokenizers.QueryEncoder(folder)


def encoders(words: list[str], queries: list[str], folder: Path) -> dict[str, Encode]:
    from stages.config.settings import ResolvedModel
    from stages.encoders.building import ENCODERS
    from stages.encoders.fast.model import make_fast
    from stages.make_base.lexical import make_base

    shape = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "max_seq_length": 256}
    base = folder / "base"
    base.mkdir()
    make_base(lambda: words, words, base, vocab_size=30_000, seed=0, **shape)
    section = ResolvedModel(base_model="made", max_seq_length=256, hidden_dim=2048, k=64, k_aux=512, whitening=0.0)
    splade, free, csr = (ENCODERS[name] for name in ("splade", "inference-free-splade", "csr"))
    stock, ours = splade.build(base, section, []), splade.build(base, section, [])
    make_fast(ours)
    latent, static = csr.build(base, section, []), free.build(base, section, queries)
    made: dict[str, Encode] = {"SPLADE, sentence-transformers": stock.encode_query, "SPLADE, our head": ours.encode_query}
    for name, model in (("SPLADE", stock), ("csr", latent)):
        made[f"{name}, sentence-transformers"] = model.encode_query
        for kind in ("onnxruntime", "onnxruntime, int8"):
            made[f"{name}, {kind}"] = network(model, folder / f"{name}-{kind}", kind.endswith("int8"))
    made["inference-free, sentence-transformers"] = static.encode_query
    for kind in ("tokenizers", "numpy"):
        made[f"inference-free, {kind}"] = tables(static, folder / kind, kind)
    return made


def milliseconds(made: dict[str, Encode], queries: list[str]) -> dict[str, float]:
    """Median CPU time a query of each encoder."""
    taken: dict[str, list[float]] = {name: [] for name in made}
    for number in range(ROUNDS + 1):  # the first warms up
        for name, encode in made.items():
            for query in queries if number else queries[:3]:
                start = time.process_time_ns()
                encode(query)
                if number:
                    taken[name].append((time.process_time_ns() - start) / 1e6)
    return {name: median(values) for name, values in taken.items()}


def quality(folder: Path, files: list[Path]) -> None:
    """Print nDCG@10 of the model in ``folder`` on the held-out rows in ``files``, with each kind of queries."""
    from scipy.sparse import csr_array
    from sentence_transformers import SparseEncoder

    from stages.retrieval.scores import NDCG
    from stages.retrieval.scoring import encode_set, evaluate_encoded
    from stages.retrieval.treatment import Treatment
    from stages.validation.dev import dev_set

    def vectors(encoder: Encode, texts: list[str], size: int) -> csr_array:
        found = [encoder(text) for text in texts]
        starts = np.cumsum([0, *(len(ids) for ids, _ in found)])
        return csr_array(
            (np.concatenate([w for _, w in found]), np.concatenate([ids for ids, _ in found]), starts), shape=(len(texts), size)
        )

    model, treatment = SparseEncoder(str(folder), device="cpu"), Treatment.read(folder)
    with TemporaryDirectory() as exports:
        kinds = {name: network(model, Path(exports) / name, name == "int8") for name in ("onnxruntime", "int8")}
        print("| set | queries | sentence-transformers | onnxruntime | int8 |\n|---|---|---|---|---|")
        for file in files:
            if (held_out := dev_set(file.parent.name, file)) is None:
                continue
            whole, texts = encode_set(model, held_out, treatment=treatment), [*held_out.queries.values()]
            ways = [whole.queries, *(vectors(each, texts, whole.queries.shape[1]) for each in kinds.values())]
            scored = [evaluate_encoded(replace(whole, queries=queries), held_out, treatment).metrics[NDCG] for queries in ways]
            print(f"| {held_out.name} | {len(texts)} | {' | '.join(f'{score:.4f}' for score in scored)} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quality", type=Path, nargs="+", metavar=("MODEL", "DEV"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    import onnxruntime

    print(f"{hardware('cpu')}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}\n")
    if options.quality:
        return quality(options.quality[0], options.quality[1:])
    generator = np.random.default_rng(0)
    words = np.array(vocabulary(generator).to_pylist())
    queries = [" ".join(generator.choice(words, generator.integers(4, 13))) for _ in range(QUERIES)]
    with TemporaryDirectory() as folder:
        taken = milliseconds(encoders(words.tolist(), queries, Path(folder)), queries)
    print("| encoder | ms a query | × inference-free, numpy |\n|---|---|---|")
    for name, value in taken.items():
        print(f"| {name} | {value:.3f} | {value / taken['inference-free, numpy']:.0f} |")


if __name__ == "__main__":
    main()
