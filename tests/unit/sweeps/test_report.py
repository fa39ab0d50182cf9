"""The page of a sweep, from made-up results."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.config.sweep import SweepFile
from stages.evaluate.query_tables import AS_ZERO, DOCUMENTS, SET
from stages.sweeps.plan import Plan
from stages.sweeps.report import importance, write
from stages.sweeps.space import Checker
from stages.sweeps.state import Result, Sweep

FILE = SweepFile.model_validate(
    {
        "method": "grid",
        "parameters": {"training.learning_rate": [0.1, 0.2], "training.weight_decay": [0.0, 0.1]},
        "seeds": [1, 2],
        "objectives": ["maximize mean.ndcg@10", "minimize mean.query_postings_mean"],
    }
)


def made(folder: Path) -> tuple[Sweep, Plan]:
    """Four configurations over two seeds: the rate decides, the weight decay hardly; one trial failed."""
    sweep = Sweep(folder)
    plan = Plan(sweep, FILE, Checker(FILE, Path("s.yaml")))
    for number, trial in plan.trials.items():
        rate, decay, seed = (trial.settings[key] for key in ("training.learning_rate", "training.weight_decay", "seed"))
        score = rate * 2 + decay / 10 + seed / 100
        if number == 7:
            sweep.end(number, Result("failed", "training: <collapsed>"))
            continue
        metrics = {"mean.ndcg@10": score, "mean.query_postings_mean": 100 * rate + number, "mean.bm25_stemmed_ndcg@10": 0.3}
        sweep.end(number, Result("done", metrics=metrics))
        queries = sweep.place(number) / "queries"
        queries.mkdir()
        rows = [
            {"query_id": f"q{place}", "query": "x", "model_ndcg@10": min(1.0, score + place / 100), "model_rank": 1} for place in range(20)
        ]
        table = pa.Table.from_pylist([{**row, "relevant_terms": None, "top_terms": None} for row in rows])
        pq.write_table(table.replace_schema_metadata({SET: "NanoNb", DOCUMENTS: "60", AS_ZERO: "0"}), queries / "NanoNb.parquet")
    plan.refresh()
    return sweep, plan


def test_the_page_shows_ranks_deviations_importance_tests_and_failures_without_network(tmp_path: Path) -> None:
    sweep, plan = made(tmp_path / "s")
    page = write(sweep, FILE, plan).read_text(encoding="utf-8")
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert cells[:3] == ["s-004", "0.415 ± 0.0071", "24.5 ± 0.71"]
    assert "training: &lt;collapsed&gt;" in cells and "dvc exp apply s-004" in page
    assert "8 trials: 7 done, 1 failed." in page
    assert "<th>training.<wbr>learning_<wbr>rate</th>" in page  # long names wrap, so that a screen holds the table
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    assert (tmp_path / "s" / "report.png").read_bytes().startswith(b"\x89PNG")
    best, against = page.index("Is the best one better"), page.index("s-002", page.index("Is the best one better"))
    assert best < against and "+0.2" in page[against : against + 200]


def test_the_parameter_that_decides_explains_the_variance(tmp_path: Path) -> None:
    _, plan = made(tmp_path / "s")
    [(first, share), (_, rest)] = importance(plan.ranked(), FILE)
    assert first == "training.learning_rate" and share > 0.9 and rest == pytest.approx(1 - share, abs=0.3)
