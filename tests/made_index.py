"""The search page's systems on a small made-up corpus in two languages, with a document of HTML and one of many windows."""

import json
from pathlib import Path

from sentence_transformers import SentenceTransformer, SparseEncoder

from stages.engines.build import Model, build
from stages.engines.identity import model_digest
from stages.engines.index import open_index
from stages.engines.sources import Columns, find
from stages.page.systems import Systems
from stages.retrieval.treatment import Treatment
from tests.unit.conftest import WORDS

HTML = "<img src=x onerror=alert(1)>"
PAIRS = [f"{first} {second}" for first in WORDS[:6] for second in WORDS[6:12]]
ROWS = [
    *({"id": f"d{number}", "text": pair, "language": ("nb", "sv")[number % 2]} for number, pair in enumerate(PAIRS)),
    {"id": "html", "text": f"{HTML} {WORDS[12]}", "language": "nb"},
    {"id": "long", "text": " ".join(WORDS[:20] * 6), "language": "sv"},
]


def made_systems(folder: Path, sparse: SparseEncoder, dense: SentenceTransformer) -> Systems:
    """The systems on an index of `ROWS` in ``folder``."""
    (folder / "texts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    sparse.save_pretrained(str(folder / "sparse"))
    dense.save_pretrained(str(folder / "dense"))
    treatment = Treatment("max_score", window=16, overlap=3)
    model = Model(folder / "sparse", model_digest(folder / "sparse"), treatment, lambda: sparse, 32)
    build(folder / "index", find(str(folder / "texts.jsonl"), Columns(), folder), model, "parquet")
    return Systems(open_index(folder / "index"), sparse, dense, folder / "dense", told=lambda _: None)
