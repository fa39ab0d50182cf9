import pyarrow as pa
import pytest

from stages.rows.dropping import Dropped
from stages.rows.report import SplitReport, check_sums


def rows(anchors, languages, negatives=None):
    negatives = negatives or [None] * len(anchors)
    return pa.table(
        {
            "anchor": anchors,
            "positive": ["p"] * len(anchors),
            "negative": pa.array(negatives, pa.string()),
            "language": pa.array(languages, pa.string()),
        }
    )


def test_every_row_is_accounted_for_by_language():
    report = SplitReport()
    report.keep(rows(["a", "åå", "aaa"], ["nb", "da", "da"], ["n", None, None]))
    report.drop(Dropped({("duplicate", "da"): 2, ("no fact", "nb"): 4}))
    whole = report.as_dict()
    assert (whole["read"], whole["kept"], whole["dropped"]) == (9, 3, {"duplicate": 2, "no fact": 4})
    assert whole["languages"]["nb"]["dropped"] == {"no fact": 4}
    assert (whole["with_negative"], whole["without_negative"]) == (1, 2)
    danish = whole["languages"]["da"]
    assert (danish["read"], danish["kept"], danish["dropped"], danish["with_negative"]) == (4, 2, {"duplicate": 2}, 0)
    assert danish["characters"]["anchor"] == {"median": 2, "p95": 3}


def test_a_language_that_is_not_known_is_counted_as_such():
    report = SplitReport()
    report.keep(rows(["a", "b"], ["nb", None]))
    assert {language: counts["kept"] for language, counts in report.as_dict()["languages"].items()} == {"nb": 1, "unknown": 1}


def test_lengths_are_exact_over_many_chunks():
    report = SplitReport()
    for length in range(1, 101):
        report.keep(rows(["x" * length], ["nb"]))
    assert report.as_dict()["characters"]["anchor"] == {"median": 50, "p95": 95}


@pytest.mark.parametrize(("fault", "rows_read", "written"), [("kept 3, written 2", 5, 2), ("in the files 6", 6, 3)])
def test_a_report_that_does_not_add_up_is_refused(fault, rows_read, written):
    report = SplitReport()
    report.keep(rows(["a", "b", "c"], ["nb", "da", "da"]))
    report.drop(Dropped({("duplicate", "da"): 2}))
    check_sums("train", report, rows=5, written=3)
    with pytest.raises(RuntimeError, match=fault):
        check_sums("train", report, rows_read, written)
