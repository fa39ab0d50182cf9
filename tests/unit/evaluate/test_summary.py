import json

import pytest

from stages.evaluate.summary import UNTRAINED_NDCG, SetResult, account, headline, summary, table, warnings
from stages.retrieval.scores import Run
from stages.retrieval.sets import RetrievalSet
from tests.refused import names


def result(name: str, ndcg: float, nano: bool = False, **more: float) -> SetResult:
    metrics = {"ndcg@10": ndcg, "mrr@10": 0.5, "recall@100": 0.9, **more}
    return SetResult(name, nano, metrics, bm25_ndcg=0.4)


def sparse(name: str, ndcg: float, nano: bool = False) -> SetResult:
    return result(name, ndcg, nano, query_active_dims=14.0, corpus_active_dims=110.0, flops=1.5)


def test_summary_has_every_set_then_the_mean_then_nanobeirs_mean() -> None:
    evaluation = summary([sparse("NanoSampleNb", 0.6, nano=True), sparse("mine", 0.3), sparse("NanoSampleDa", 0.9, True)])
    assert list(evaluation) == ["NanoSampleNb", "mine", "NanoSampleDa", "mean", "NanoBEIR_mean_dot_ndcg@10"]
    keys = ["ndcg@10", "mrr@10", "recall@100", "query_active_dims", "corpus_active_dims", "flops", "bm25_ndcg@10"]
    assert list(evaluation["mine"]) == list(evaluation["mean"]) == keys
    assert evaluation["mean"]["ndcg@10"] == pytest.approx(0.6)
    assert evaluation["mean"]["bm25_ndcg@10"] == pytest.approx(0.4)
    assert evaluation["NanoBEIR_mean_dot_ndcg@10"] == pytest.approx(0.75)
    assert json.loads(json.dumps(evaluation)) == evaluation


def test_nanobeirs_mean_is_absent_without_a_set_in_its_form() -> None:
    assert "NanoBEIR_mean_dot_ndcg@10" not in summary([sparse("mine", 0.3)])


def test_mean_holds_only_what_every_set_has() -> None:
    assert "flops" not in summary([sparse("a", 0.3), result("b", 0.5)])["mean"]


def test_table_is_aligned_and_ends_with_the_mean() -> None:
    lines = table(summary([sparse("NanoSampleNb", 0.6, nano=True), result("dense", 0.3)])).splitlines()
    assert lines[-1] == "warning: the model is below BM25 on 1 of 2 sets (dense)" and not lines[-2]
    lines = lines[:-2]
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["set", "nDCG@10", "BM25", "difference", "query", "dims", "document", "dims"]
    assert lines[2].split() == ["NanoSampleNb", "0.6000", "0.4000", "+0.2000", "14.0", "110.0"]
    assert lines[3].split() == ["dense", "0.3000", "0.4000", "-0.1000", "–", "–"]
    assert lines[-1].split()[:2] == ["mean", "0.4500"]


def with_runs(ours: str, bm25: str, more: int = 0) -> SetResult:
    """A set with one letter a query: + where its document was found, - where not; ``more`` queries have no relevant document."""
    queries = {f"q{number}": "?" for number in range(len(ours))}
    retrieval_set = RetrievalSet("mine", None, queries, {"right": "t", "wrong": "t"}, {query: {"right": 1.0} for query in queries})
    runs: dict[str, Run] = {
        system: {query: {"right" if letter == "+" else "wrong": 1.0} for query, letter in zip(queries, letters, strict=True)}
        for system, letters in (("model", ours), ("bm25", bm25))
    }
    ndcg, of_bm25 = (letters.count("+") / (len(letters) + more) for letters in (ours, bm25))
    return SetResult("mine", False, {"ndcg@10": ndcg}, of_bm25, len(ours) + more, 2, retrieval_set=retrieval_set, runs=runs)


@pytest.mark.parametrize(("ours", "bm25", "mark"), [("+" * 9, "-" * 9, " ▲"), ("-" * 9, "+" * 9, " ▼"), ("+" * 9, "+" * 8 + "-", "")])
def test_a_significant_difference_is_marked_and_the_mark_explained(ours: str, bm25: str, mark: str) -> None:
    evaluation = summary([with_runs(ours, bm25)])
    row = evaluation["mine"]
    assert row["ndcg@10_low"] <= row["ndcg@10"] <= row["ndcg@10_high"] and (row["p_value"] < 0.05) == bool(mark)
    assert [evaluation["mean"][key] for key in ("ndcg@10_low", "p_value")] == [row["ndcg@10_low"], row["p_value"]]
    *_, first, _, mean, _, legend = [line for line in table(evaluation).splitlines() if not line.startswith("warning")][:7]
    difference = f"{row['ndcg@10'] - row['bm25_ndcg@10']:+.4f}{mark}"
    assert all(line.split()[3:-2] == difference.split() for line in (first, mean))
    assert legend.startswith("▲ ▼: significantly above or below BM25 (p < 0.05")


def test_queries_that_mteb_counts_as_0_are_part_of_the_interval() -> None:
    result = with_runs("+" * 20, "+" * 20, more=20)
    row = summary([result])["mine"]
    assert result.as_zero == 20 and row["ndcg@10"] == 0.5 == result.by_query["model"].mean()
    assert 0.3 < row["ndcg@10_low"] < 0.4 and 0.6 < row["ndcg@10_high"] < 0.7


@pytest.mark.parametrize(("sets", "words"), [("a", "on 1 set,"), ("ab", "on 2 sets,")])
def test_the_headline_is_the_mean_over_the_sets(sets: str, words: str) -> None:
    line = headline(summary([sparse(name, 0.6) for name in sets]))
    assert line == f"nDCG@10 0.600 (BM25: 0.400) {words} query dims 14.0, document dims 110.0"


def test_ignored_qrels_are_counted_with_their_set_and_not_in_the_mean() -> None:
    evaluation = summary(
        [SetResult("mine", False, {"ndcg@10": 0.5}, 0.4, ignored=3), SetResult("other", False, {"ndcg@10": 0.5}, 0.4, ignored=1)]
    )
    assert evaluation["mine"]["qrels_with_unknown_ids"] == 3 and "qrels_with_unknown_ids" not in evaluation["mean"]
    assert "qrels_with_unknown_ids" not in summary([result("mine", 0.3)])["mine"]


def warned(*results: tuple[float, float, float | None]) -> list[str]:
    """The warnings for sets a, b, … with these nDCG@10: the model's, BM25's, the untrained model's."""
    lines = [
        SetResult(name, False, {"ndcg@10": ours} | ({} if untrained is None else {UNTRAINED_NDCG: untrained}), bm25)
        for name, (ours, bm25, untrained) in zip("abc", results, strict=False)
    ]
    return warnings(summary(lines))


def test_no_warning_for_a_model_that_is_better_everywhere() -> None:
    assert warned((0.6, 0.5, 0.55), (0.6, 0.6, None)) == []


def test_a_warning_below_bm25_on_average_or_on_single_sets() -> None:
    [line] = warned((0.3, 0.5, None), (0.6, 0.5, None))
    assert line == "warning: the model is below BM25: nDCG@10 0.4500 against 0.5000 (BM25) on average, and on 1 of 2 sets (a)"
    [line] = warned((0.4, 0.5, None), (0.9, 0.5, None))
    assert line == "warning: the model is below BM25 on 1 of 2 sets (a)"


def test_what_is_compared_is_the_better_of_the_two_bm25s() -> None:
    """The plain one has .4 on every set."""
    dims = {"query_active_dims": 14.0, "corpus_active_dims": 110.0}
    stemmed = [result(name, 0.45, **{"bm25_stemmed_ndcg@10": score}, **dims) for name, score in (("a", 0.5), ("b", 0.4), ("c", 0.6))]
    evaluation = summary(stemmed)
    [line] = warnings(evaluation)
    assert line == "warning: the model is below BM25: nDCG@10 0.4500 against 0.5000 (stemmed BM25) on average, and on 2 of 3 sets (a, c)"
    assert headline(evaluation).startswith("nDCG@10 0.450 (stemmed BM25: 0.500) on 3 sets, ")
    lines = table(evaluation).splitlines()
    assert [line.split()[2:5] for line in lines[2:5]] == [["0.4000", f"{b:.4f}", f"{0.45 - b:+.4f}"] for b in (0.5, 0.4, 0.6)]


def test_the_dense_model_has_a_column_and_the_hybrids_a_line() -> None:
    more = {"dense_ndcg@10": 0.7, "hybrid_sparse_dense_ndcg@10": 0.8, "hybrid_sparse_bm25_ndcg@10": 0.5}
    lines = table(summary([result("mine", 0.6, **more)])).splitlines()
    assert lines[0].split()[3:5] == ["difference", "dense"] and lines[2].split()[4] == "0.7000"
    assert lines[-1] == "fused by reciprocal rank: model + dense 0.8000, model + stemmed BM25 0.5000"


@pytest.mark.parametrize("more", [{"dense_ndcg@10": 0.8}, {"dense_ndcg@10": 0.9, "base_ndcg@10": 0.8}])
def test_what_csr_keeps_is_a_share_of_its_own_base(more: dict[str, float]) -> None:
    csr = {"ndcg@10_at_8_dims": 0.4, "dead_latents": 0.25, **more}
    line = table(summary([result("mine", 0.6, **csr)])).splitlines()[-1]
    assert line == "dense base: 0.8000; kept of it: 50.0% at 8 dims; dead latents: 25.0%"
    control = {"control_ndcg@10_at_8_dims": 0.2, "control_ndcg@10": 0.1}
    line = table(summary([result("mine", 0.6, **csr, **control)])).splitlines()[-1]
    assert line == "dense base: 0.8000; kept of it: 50.0% (control 25.0%) at 8 dims; dead latents: 25.0%"


def test_a_warning_for_a_model_worse_than_before_training() -> None:
    first, second = warned((0.01, 0.5, 0.48), (0.6, 0.5, None))
    assert first.startswith("warning: training made the model worse on 1 of 2 sets (a): nDCG@10 0.4800 before its first step, 0.0100 after")
    assert "below BM25" in second
    [line] = warned((0.6, 0.5, 0.7), (0.6, 0.5, 0.5), (0.6, 0.5, 0.8))
    assert "on 2 of 3 sets (a, c): nDCG@10 0.7500 before its first step, 0.6000 after" in line


def test_a_warning_names_each_set_of_which_more_than_a_tenth_is_cut() -> None:
    sets = [result(name, 0.6, documents_cut=cut, tokens_lost=0.4) for name, cut in (("long", 0.79), ("short", 0.1))]
    [line] = warnings(summary(sets))
    assert names(line, "long: 79% of the documents … cut … 40% of all tokens … model.long_documents")
    assert table(summary(sets)).splitlines()[-1] == line


def counts(rows: int, used: int, **removed: int) -> dict[str, int]:
    return {"rows": rows, "used": used, **removed}


def test_every_set_has_its_rows_those_used_and_why_the_others_are_not() -> None:
    formatted = {
        "my-search": {"train": {"read": 100, "dropped": {"duplicate": 10}, "notes": {"documents that no query names": 230}}},
        "nli": {"train": {"read": 32, "dropped": {}}},
    }
    mixed = {"sources": {"my-search": counts(90, 64, removed_evaluation_overlap=20, tail_dropped=6), "nli": counts(32, 32, unused=0)}}
    header, rule, mine, nli, note = account(formatted, mixed).splitlines()
    assert mine.split()[:3] == ["my-search", "100", "64"]
    assert mine.endswith("10 duplicate, 20 in an evaluation set, 6 too few for one more batch")
    assert nli.split() == ["nli", "32", "32"]
    assert note == "my-search: 230 documents that no query names"
    assert header.index("rows") > len("my-search") and set(rule) == {"-"}
