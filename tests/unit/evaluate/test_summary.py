import json

import pytest

from stages.evaluate.summary import SetResult, summary, table
from tests.refused import refused


def result(name: str, ndcg: float, nano: bool = False, **more: float) -> SetResult:
    metrics = {"ndcg@10": ndcg, "mrr@10": 0.5, "recall@100": 0.9, **more}
    return SetResult(name, nano, metrics, bm25_ndcg=0.4)


def sparse(name: str, ndcg: float, nano: bool = False) -> SetResult:
    return result(name, ndcg, nano, query_active_dims=14.0, corpus_active_dims=110.0, flops=1.5)


def test_summary_has_every_set_then_the_mean_then_the_nanobeir_headline() -> None:
    evaluation = summary([sparse("NanoSampleNb", 0.6, nano=True), sparse("mine", 0.3), sparse("NanoSampleDa", 0.9, True)])
    assert list(evaluation) == ["NanoSampleNb", "mine", "NanoSampleDa", "mean", "NanoBEIR_mean_dot_ndcg@10"]
    keys = ["ndcg@10", "mrr@10", "recall@100", "query_active_dims", "corpus_active_dims", "flops", "bm25_ndcg@10"]
    assert list(evaluation["mine"]) == list(evaluation["mean"]) == keys
    assert evaluation["mean"]["ndcg@10"] == pytest.approx(0.6)
    assert evaluation["mean"]["bm25_ndcg@10"] == pytest.approx(0.4)
    assert evaluation["NanoBEIR_mean_dot_ndcg@10"] == pytest.approx(0.75)
    assert json.loads(json.dumps(evaluation)) == evaluation


def test_headline_is_absent_without_a_set_in_nanobeirs_form() -> None:
    assert "NanoBEIR_mean_dot_ndcg@10" not in summary([sparse("mine", 0.3)])


def test_mean_holds_only_what_every_set_has() -> None:
    assert "flops" not in summary([sparse("a", 0.3), result("b", 0.5)])["mean"]


@pytest.mark.parametrize("names", [("same", "same"), ("mean", "other")])
def test_names_that_would_overwrite_each_other_are_refused(names: tuple[str, str]) -> None:
    with refused("taken"):
        summary([sparse(name, 0.5) for name in names])


def test_no_set_at_all_is_one_line() -> None:
    with refused("no evaluation set"):
        summary([])


def test_table_is_aligned_and_ends_with_the_mean() -> None:
    lines = table(summary([sparse("NanoSampleNb", 0.6, nano=True), result("dense", 0.3)])).splitlines()
    assert lines[-1] == "warning: the model is below BM25 on 1 of 2 sets (dense)" and not lines[-2]
    lines = lines[:-2]
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["set", "nDCG@10", "BM25", "nDCG@10", "difference", "query", "dims", "document", "dims"]
    assert lines[2].split() == ["NanoSampleNb", "0.6000", "0.4000", "+0.2000", "14.0", "110.0"]
    assert lines[3].split() == ["dense", "0.3000", "0.4000", "-0.1000", "–", "–"]
    assert lines[-1].split()[:2] == ["mean", "0.4500"]


def test_ignored_qrels_are_counted_with_their_set_and_not_in_the_mean() -> None:
    evaluation = summary(
        [SetResult("mine", False, {"ndcg@10": 0.5}, 0.4, ignored=3), SetResult("other", False, {"ndcg@10": 0.5}, 0.4, ignored=1)]
    )
    assert evaluation["mine"]["qrels_with_unknown_ids"] == 3 and "qrels_with_unknown_ids" not in evaluation["mean"]
    assert "qrels_with_unknown_ids" not in summary([result("mine", 0.3)])["mine"]
