"""What the table and the report warn of: a model below BM25, or below what it was before training."""

from stages.evaluate.summary import SetResult, summary, table
from stages.evaluate.warnings import UNTRAINED_NDCG


def warned(*results: tuple[float, float, float | None]) -> list[str]:
    """The table's warnings for sets a, b, … of nDCG@10, BM25's and the untrained model's."""
    lines = [
        SetResult(name, False, {"ndcg@10": ours} | ({} if untrained is None else {UNTRAINED_NDCG: untrained}), bm25)
        for name, (ours, bm25, untrained) in zip("abc", results, strict=False)
    ]
    return [line for line in table(summary(lines)).splitlines() if line.startswith("warning: ")]


def test_a_model_that_is_better_than_all_is_not_warned_of() -> None:
    assert warned((0.6, 0.5, 0.55), (0.6, 0.6, None)) == []


def test_below_bm25_on_average_and_on_single_sets() -> None:
    [line] = warned((0.3, 0.5, None), (0.6, 0.5, None))
    assert line == "warning: the model is below BM25: nDCG@10 0.4500 against 0.5000 on average, and on 1 of 2 sets (a)"
    [line] = warned((0.4, 0.5, None), (0.9, 0.5, None))
    assert line == "warning: the model is below BM25 on 1 of 2 sets (a)"


def test_below_its_own_untrained_base() -> None:
    first, second = warned((0.01, 0.5, 0.48), (0.6, 0.5, None))
    assert first.startswith("warning: training made the model worse: nDCG@10 on a was 0.4800 before its first step and is 0.0100; ")
    assert "below BM25" in second
