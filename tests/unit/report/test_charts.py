"""The charts are SVG that takes the page's colours; what they draw survives odd numbers of points."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from markupsafe import Markup

from stages.report.charts import pruning, scores_chart, tradeoff_chart, training_charts
from stages.report.runs import Run
from stages.report.scores import row
from tests.made_run import scores


def texts(chart: Markup) -> list[str]:
    root = ET.fromstring(str(chart).replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
    assert (root.get("role"), bool(root.get("aria-label"))) == ("img", True)
    assert not re.search(r"#0000[0-9a-f]{2}|font-family|<metadata|<style", chart)
    return [element.text or "" for element in root.iter("text")]


def test_a_name_in_a_chart_is_escaped_and_no_formula() -> None:
    name = "a <b> & $x_1$"
    shown = texts(scores_chart("scores", f"by {name}", [row(name, scores(0.7, 0.6, 0.65, None))]))
    assert {name, "model", "BM25", "stemmed BM25"} <= set(shown)


@pytest.mark.parametrize(
    ("content", "titles"),
    [
        ("step,base_loss,dead_latents\n10,3.5,0.1\n20,2.5,\n", ["Contrastive loss", "Dead latents"]),
        ("step,loss,eval_mean_ndcg@10\n10,3.5,\n20,,0.5\n", ["Loss", "Validation"]),
        ("step,loss\n", []),
        ("", []),
    ],
)
def test_a_training_curve_has_a_chart_for_each_kind_of_column(content: str, titles: list[str], tmp_path: Path) -> None:
    curve = tmp_path / "training.csv"
    curve.write_text(content, encoding="utf-8")
    charts = training_charts(curve)
    assert [title for title, _ in charts] == titles
    assert all("step" in texts(chart) for _, chart in charts)


def test_this_run_stands_among_the_others_once() -> None:
    mean = row("mean", scores(0.7, 0.6, 0.65, None) | {"ndcg@10_at_8_dims": 0.5})
    others = [Run("cheap", True, 0.6, 9, 8), Run("this", True, 0.7, 9.5, 16.25)]
    chart = tradeoff_chart(mean, others)
    assert chart is not None
    assert {"recorded runs", "cheap", "this run", "this model, other numbers of dimensions", "BM25"} <= set(shown := texts(chart))
    assert "this" not in shown
    assert tradeoff_chart(row("mean", {"ndcg@10": 0.7, "bm25_ndcg@10": 0.6}), others) is None


def test_pruning_names_the_smallest_setting_that_keeps_99_percent() -> None:
    points = [{"setting": k, "dims": float(k), "ndcg@10": value} for k, value in ((2, 0.4), (4, 0.595), (8, 0.6))]
    curves = {
        "one": {"documents_top_k": {"points": points, "keeps_99": 4}, "queries_mass": {"points": [], "keeps_99": None}},
        "two": {"documents_top_k": {"points": [{"setting": 1, "dims": 1, "ndcg@10": 0}], "keeps_99": None}},
    }
    [(title, chart, found)] = pruning(curves)
    assert title == "Document terms"
    assert "dimensions left, mean" in texts(chart)
    assert [(point.set_name, point.setting) for point in found if point.smallest] == [("one", 4)]
    assert found[1].share == pytest.approx(0.595 / 0.6)
    assert pruning({}) == []
