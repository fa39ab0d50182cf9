"""Cases that `test_triton_maxima` runs in a separate process with Triton's interpreter: `python -m …triton_cases NAME`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from sentence_transformers import SparseEncoder

from stages.encoders.fast import triton_maxima as module
from stages.encoders.fast.max_pooled_linear import in_blocks, max_pooled_linear
from stages.encoders.fast.model import make_fast
from stages.encoders.fast.triton_maxima import obstacle, triton_maxima
from tests.tiny_models import save
from tests.unit.encoders.fast.test_max_pooled_linear import SHAPES, tensors, whole


def values_and_gradients() -> None:
    for lengths, outputs, hidden in [*SHAPES, ([64, 128, 129], 256, 64), ([5], 130, 97)]:
        tokens, weight = tensors(lengths, outputs, hidden)
        ours, theirs = max_pooled_linear(tokens, weight, lengths, triton_maxima), whole(tokens, weight, lengths)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        gradient = torch.randn_like(ours)
        for mine, stock in zip(*(torch.autograd.grad(r, (tokens, weight), gradient) for r in (ours, theirs)), strict=True):
            torch.testing.assert_close(mine, stock, rtol=1e-5, atol=1e-5 * max(1.0, stock.abs().max().item()))
        with torch.no_grad():
            assert torch.equal(max_pooled_linear(tokens, weight, lengths, triton_maxima), ours)


def half_precision() -> None:
    lengths = [9, 64]
    exact, weight = tensors(lengths, 200, 96)
    tokens = exact.detach().half()
    winners = torch.zeros(2, 200, dtype=torch.int32)
    pooled = triton_maxima(tokens, weight, lengths, winners)
    assert pooled.dtype == torch.float16
    torch.testing.assert_close(pooled, whole(tokens.float(), weight.half().float(), lengths).half(), rtol=2e-3, atol=2e-3)
    assert (winners[0] < 9).all() and (winners[1] >= 9).all() and (winners[1] < 73).all()


def no_tokens() -> None:
    tokens, weight = (tensor.detach() for tensor in tensors([2, 3], 5, 4))
    lengths = [0, 2, 0, 3, 0]
    torch.testing.assert_close(triton_maxima(tokens, weight, lengths, None), in_blocks(tokens, weight, lengths, None))
    assert (triton_maxima(tokens[:0], weight, [0, 0], None) == float("-inf")).all()
    assert triton_maxima(tokens[:0], weight, [], None).shape == (0, 5)


def nan() -> None:
    tokens, weight = tensors([70, 5, 70], 7, 4)
    with torch.no_grad():
        tokens[2] = tokens[144] = float("nan")  # in the first block of a text's tokens, in the last of another's
    pooled = triton_maxima(tokens.detach(), weight.detach(), [70, 5, 70], None)
    assert torch.isnan(pooled[[0, 2]]).all() and torch.isfinite(pooled[1]).all()


def tf32() -> None:
    torch.backends.fp32_precision = "tf32"  # as transformers' trainer sets it
    tokens, weight = (tensor.detach() for tensor in tensors([9, 64], 200, 96))
    torch.testing.assert_close(triton_maxima(tokens, weight, [9, 64], None), in_blocks(tokens, weight, [9, 64], None), rtol=1e-2, atol=1e-2)


def fast_model() -> None:
    texts = ["en bok om Oslo", "Hvor er det?", "ord " * 40]
    with TemporaryDirectory() as folder:
        model = SparseEncoder(str(save(Path(folder) / "splade", "splade")), device="cpu")
        stock = model.encode(texts, convert_to_sparse_tensor=False)
        assert not make_fast(model, triton_maxima)
        torch.testing.assert_close(model.encode(texts, convert_to_sparse_tensor=False), stock, rtol=1e-5, atol=1e-5)


def probed() -> None:
    for dtype in (torch.float32, torch.float16):
        assert obstacle("cpu", dtype) == ""
    with patch.object(module, "TOKENS", 48):  # not a power of two: it does not compile
        assert "its probe failed" in obstacle("cpu", torch.float32)
    with patch.object(module, "in_blocks", lambda *arguments: in_blocks(*arguments) + 0.1):
        assert "not close" in obstacle("cpu", torch.float32)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
