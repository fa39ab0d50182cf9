"""The queries of SPLADE or csr as an ONNX network: a folder with the network, its tokenizer and the code that runs both.

    encode.py        the encoder, to run or to translate
    query.json       settings: prompt, most dimensions
    tokenizer.json   for the `tokenizers` package
    model.onnx       token ids to a dense vector, any number of texts and tokens; of float32, or with int8 weights

torch.onnx writes it; int8 is onnxruntime's dynamic quantisation (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SpladePooling

from stages.export.query_encoder import tokenizer_json
from stages.runtime.errors import UserError

if TYPE_CHECKING:
    from stages.export.encode_onnx import QueryEncoder

SHOWN = ["Hvor kan jeg leie sykkel i Tromsø?", "Når opnar biblioteket?"]  # whose run is traced; of unlike lengths
CHECKED = ["", "Vad kostar det?", "Hvornår åbner svømmehallen om søndagen? " * 40]
TOLERANCE = 1e-4


class Network(torch.nn.Module):
    """A model from tensors to the dense vectors of texts."""

    def __init__(self, model: SparseEncoder, names: list[str], constants: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.names, self.constants = model, names, constants

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        features = dict(zip(self.names, tensors, strict=True)) | self.constants
        for module in self.model:
            if isinstance(module, SpladePooling):
                features = splade(module, features)
            elif isinstance(module, SparseAutoEncoder):
                features = codes(module, features)
            else:
                features = module(features)
        return features["sentence_embedding"]


def splade(pooling: SpladePooling, features: dict[str, Any]) -> dict[str, Any]:
    """What the module computes, without its loop over chunks of a text, which would make the traced length the only one."""
    weights = features["token_embeddings"] * features["attention_mask"].unsqueeze(-1)
    if pooling.pooling_strategy == "max":
        weights = weights.amax(1, keepdim=True)
    weights = weights.relu().log1p()
    if pooling.activation_function == "log1p_relu":
        weights = weights.log1p()
    return features | {"sentence_embedding": weights.sum(1)}


def codes(autoencoder: SparseAutoEncoder, features: dict[str, Any]) -> dict[str, Any]:
    """What the module computes in inference mode, in which torch does not trace: without what only its loss needs."""
    vectors, _ = autoencoder.prepare(features["sentence_embedding"])
    latents, _ = autoencoder.top_k(autoencoder.encode_pre_act(vectors), compute_aux=False)
    return features | {"sentence_embedding": latents}


def write(model: SparseEncoder, folder: Path, max_dims: int | None, int8: bool) -> str:
    """Write the export to ``folder``, which must exist; returns what it needs to run, in words.

    Args:
        max_dims: keep this many of a query's largest weights; None: all.

    Raises:
        UserError: a package of the extra is missing, queries need no network, or the network's vectors are not the model's.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (what torch.onnx needs)
        from onnxruntime.quantization import quantize_dynamic

        from stages.export.encode_onnx import QueryEncoder
    except ImportError as error:
        raise UserError(f"--onnx: needs the package {error.name}; install it with `pip install 'nordic-sparse[onnx]'`") from error
    if isinstance(model[0], Router):
        raise UserError("--onnx: queries of an inference-free model go through no network; use --query-encoder")
    if not isinstance(model[0], Transformer):
        raise UserError(f"--onnx: the model must begin with a Transformer, got {type(model[0]).__name__}; use sentence-transformers")
    model = model.float().cpu().eval()
    prompt = model.prompts.get("query") or ""
    settings = {"prompt": prompt, "max_dims": max_dims}
    (folder / "query.json").write_text(json.dumps(settings, ensure_ascii=False, indent=1), encoding="utf-8")
    description = tokenizer_json(model[0].tokenizer)
    (folder / "tokenizer.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
    shutil.copyfile(Path(__file__).with_name("encode_onnx.py"), folder / "encode.py")
    with _quiet():
        _trace(model, prompt, folder / "model.onnx")
    encoder = QueryEncoder(folder)
    if not (far := _distance(model, encoder)) <= TOLERANCE:  # or NaN
        raise UserError(f"--onnx: the network's weights must be the model's to {TOLERANCE}, got {far:.1g}; use sentence-transformers")
    if int8:
        whole = (folder / "model.onnx").rename(folder / "whole.onnx")
        with _quiet():
            quantize_dynamic(whole, folder / "model.onnx", per_channel=True)
        whole.unlink()
    return f"onnxruntime {onnxruntime.__version__}, tokenizers and numpy"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of torch.onnx and onnxruntime, which are about themselves."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _trace(model: SparseEncoder, prompt: str, file: Path) -> None:
    features = model.preprocess(SHOWN, prompt=prompt)
    tensors = {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
    network = Network(model, list(tensors), {name: value for name, value in features.items() if name not in tensors}).eval()
    sizes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    with torch.no_grad():
        try:
            program = torch.onnx.export(
                network,
                tuple(tensors.values()),
                input_names=list(tensors),
                output_names=["vectors"],
                dynamic_shapes=(tuple(sizes for _ in tensors),),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise UserError(f"--onnx: torch must be able to trace the model, got: {reason}; use sentence-transformers") from error
    assert program is not None, "torch.onnx returns the program of a dynamo export"
    program.save(file)


def _distance(model: SparseEncoder, encoder: "QueryEncoder") -> float:
    """The largest difference of a weight over `CHECKED`, before pruning."""
    encoder.settings["max_dims"] = None
    vectors = model.encode_query(CHECKED, convert_to_sparse_tensor=False, show_progress_bar=False)
    made = np.zeros(tuple(vectors.shape), np.float32)
    for row, text in zip(made, CHECKED, strict=True):
        ids, weights = encoder(text)
        row[ids] = weights
    return float(np.abs(made - vectors.cpu().numpy()).max())
