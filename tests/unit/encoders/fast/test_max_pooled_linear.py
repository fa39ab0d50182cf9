"""Computed in blocks, values and gradients are those of the whole matrix and torch.max."""

import pytest
import torch
from torch import Tensor

from stages.encoders.fast import max_pooled_linear as module
from stages.encoders.fast.max_pooled_linear import Maxima, by_pairs, by_products, in_blocks, in_stacks, max_pooled_linear, stacks


def whole(tokens: Tensor, weight: Tensor, lengths: list[int]) -> Tensor:
    return torch.stack([(text @ weight.t()).max(0)[0] for text in tokens.split(lengths)])


def tensors(lengths: list[int], outputs: int, hidden: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(lengths) + outputs)
    tokens = torch.randn(sum(lengths), hidden, generator=generator, dtype=dtype)
    weight = torch.randn(outputs, hidden, generator=generator, dtype=dtype)
    return tokens.requires_grad_(), weight.requires_grad_()


SHAPES = [([1], 1, 3), ([1, 2, 3], 70, 8), ([32, 33, 39, 40], 100, 8), ([7, 150, 31, 1, 64], 1500, 16), ([300], 513, 4)]


@pytest.mark.parametrize("maxima", [in_blocks, in_stacks])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.01, 0.0])
@pytest.mark.parametrize("lengths, outputs, hidden", SHAPES)
def test_values_and_gradients_are_those_of_the_whole_matrix(
    lengths: list[int], outputs: int, hidden: int, share: float, maxima: Maxima, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.BLOCK, "cpu", 512 * sum(lengths))
    monkeypatch.setattr(module, "PAIRS", 200 * len(lengths))
    tokens, weight = tensors(lengths, outputs, hidden)
    ours, theirs = max_pooled_linear(tokens, weight, lengths, maxima), whole(tokens, weight, lengths)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    gradient = torch.randn_like(ours) * (torch.rand_like(ours) < share)
    for mine, stock in zip(*(torch.autograd.grad(r, (tokens, weight), gradient) for r in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, stock, rtol=1e-5, atol=1e-5 * max(1.0, stock.abs().max().item()))
    with torch.no_grad():
        assert torch.equal(max_pooled_linear(tokens, weight, lengths, maxima), ours)


def test_gradcheck_in_double_precision() -> None:
    tokens, weight = tensors([3, 35, 4], 9, 4, torch.float64)
    assert torch.autograd.gradcheck(lambda t, w: max_pooled_linear(t, w, [3, 35, 4]), (tokens, weight))


@pytest.mark.parametrize("maxima", [in_blocks, in_stacks])
def test_a_text_without_tokens_has_no_maximum_and_no_gradient(maxima: Maxima) -> None:
    tokens, weight = tensors([2, 3], 5, 4)
    pooled = max_pooled_linear(tokens, weight, [0, 2, 0, 3, 0], maxima)
    assert (pooled[[0, 2, 4]] == float("-inf")).all()
    torch.testing.assert_close(pooled[[1, 3]], whole(tokens, weight, [2, 3]))
    pooled.relu().sum().backward()
    assert torch.isfinite(tokens.grad).all() and torch.isfinite(weight.grad).all()
    assert max_pooled_linear(tokens[:0], weight, [0, 0], maxima).shape == (2, 5)


def test_a_stack_has_texts_of_similar_length_and_a_limited_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STACK", 400)
    monkeypatch.setattr(module, "SAVING", 50)
    lengths = torch.randint(0, 200, (64,), generator=torch.Generator().manual_seed(1)).tolist()
    found = stacks(lengths, torch.device("cpu"))
    assert sorted(text for texts, _ in found for text in texts.tolist()) == [text for text, length in enumerate(lengths) if length]
    assert all(rows.numel() <= 400 for _, rows in found)
    starts = torch.tensor([0, *lengths]).cumsum(0)
    for texts, rows in found:
        for text, row in zip(texts.tolist(), rows, strict=True):
            assert row.unique().tolist() == list(range(starts[text], starts[text + 1]))
    assert sum(rows.numel() for _, rows in found) < 1.1 * sum(lengths)
    assert len(stacks([100] * 64 + [90] * 64, torch.device("cpu"))) == 32


@pytest.mark.parametrize("lengths", [[5, 40, 3, 17], [0, 5, 0, 40, 3, 0], [70]])
@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True)])
def test_products_give_the_gradients_of_pairs(lengths: list[int], needed: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 45)
    monkeypatch.setattr(module, "SPREAD", 512 * 48)
    tokens, weight = (tensor.detach() for tensor in tensors(lengths, 1100, 8, torch.float64))
    winners = torch.zeros(len(lengths), 1100, dtype=torch.int32)
    in_blocks(tokens, weight, lengths, winners)
    gradient = torch.randn(len(lengths), 1100, dtype=torch.float64) * torch.tensor([[bool(length)] for length in lengths])
    ours, theirs = (way(gradient, tokens, weight, winners, lengths, needed) for way in (by_products, by_pairs))
    for mine, other, wanted in zip(ours, theirs, needed, strict=True):
        assert (mine is not None) == wanted
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_tensor_gets_no_gradient_and_the_other_does(frozen: int) -> None:
    pair = tensors([5, 40], 30, 4)
    expected = torch.autograd.grad(whole(*pair, [5, 40]).sum(), pair)[1 - frozen]
    pair[frozen].requires_grad_(False)
    max_pooled_linear(*pair, [5, 40]).sum().backward()
    assert pair[frozen].grad is None
    torch.testing.assert_close(pair[1 - frozen].grad, expected, rtol=1e-5, atol=1e-5)


def test_nan_reaches_values_and_gradients_as_in_stock() -> None:
    tokens, weight = tensors([40, 5], 7, 4)
    with torch.no_grad():
        tokens[17] = float("nan")
    pooled = max_pooled_linear(tokens, weight, [40, 5])
    assert torch.isnan(pooled[0]).all() and torch.isfinite(pooled[1]).all()
    pooled.relu().log1p().sum().backward()
    assert torch.isnan(weight.grad).any()


@pytest.mark.parametrize("way", [by_pairs, by_products])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_tokens_keep_a_float32_gradient_for_the_weight(
    dtype: torch.dtype, way: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "by_pairs", way)  # what CPU uses
    lengths = [9, 64]
    exact, weight = tensors(lengths, 200, 16)
    tokens = exact.detach().to(dtype).requires_grad_()
    pooled = max_pooled_linear(tokens, weight, lengths)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.float(), whole(exact, weight, lengths), rtol=0.05, atol=0.1)
    pooled.float().relu().sum().backward()
    assert tokens.grad.dtype == dtype and weight.grad.dtype == torch.float32
    whole(exact, weight, lengths).relu().sum().backward()
    assert torch.nn.functional.cosine_similarity(tokens.grad.float().flatten(), exact.grad.flatten(), dim=0) > 0.99


def test_the_logits_never_exist_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.BLOCK, "cpu", 1 << 16)
    lengths, outputs = [50] * 8, 4000
    tokens, weight = tensors(lengths, outputs, 8)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        max_pooled_linear(tokens, weight, lengths).relu().sum().backward()
    largest = max(event.cpu_memory_usage for event in profile.events() or [])
    assert largest < sum(lengths) * outputs * 4 / 3
