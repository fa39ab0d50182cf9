"""Make data/mixed/train.parquet from the formatted sets: `python -m stages.mix`.

metrics/mix.json says what an epoch uses, metrics/data.json what became of every row before, metrics/data.png shows both.
"""

import json
from pathlib import Path

from stages.config.params import read_resolved
from stages.mix.assembly import Source, mix
from stages.mix.pictures import draw_data
from stages.mix.selection import EvaluationTexts
from stages.retrieval.sets import RetrievalSet, load_sets
from stages.retrieval.texts import TEXTS, read_texts
from stages.runtime.errors import run_stage
from stages.runtime.files import atomic_write, write_json

FORMATTED, MINED, EVALUATION, MTEB = Path("data/formatted"), Path("data/mined"), Path("data/eval"), Path("data/mteb")
MIXED = Path("data/mixed")
METRICS, DATA, PICTURE = Path("metrics/mix.json"), Path("metrics/data.json"), Path("metrics/data.png")


def main() -> str:
    settings = read_resolved("mix")
    sets: list[RetrievalSet] = []
    for name, entry in settings["evaluation_sets"].items():
        sets += load_sets(EVALUATION / name, name, **entry)
    report = mix(
        [source(name, entry["max_rows"]) for name, entry in settings["datasets"].items()],
        MIXED,
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        strategy=settings["strategy"],
        temperature=settings["temperature"],
        stopping=settings["stopping"],
        evaluation=evaluation_texts(sets, bool(settings["mteb"])),
        max_negatives=settings["max_negatives"],
        scored=settings["scored"],
        contrasted=settings["contrasted"],
        own_negatives=settings["own_negatives"],
    )
    write_json(METRICS, report)
    reports = {name: json.loads((FORMATTED / name / "report.json").read_text(encoding="utf-8")) for name in settings["datasets"]}
    formatted = {name: {split: report[split] for split in ("train", "dev")} for name, report in reports.items()}
    write_json(DATA, formatted)
    with atomic_write(PICTURE) as temporary:
        draw_data(formatted, report["sources"], temporary)
    total = report["total"]
    of_sets = f"{len(formatted)} set{'s' * (len(formatted) > 1)}"
    return f"{total['batches']:,} batches an epoch, {total['used']:,} of {total['rows']:,} rows of {of_sets}"


def source(name: str, max_rows: int | None) -> Source:
    """A set as mining left it, where mining had something to do for it, else as formatted."""
    mined, formatted = MINED / name / "train.parquet", FORMATTED / name
    if mined.exists():
        return Source(name, mined, max_rows, mined=True, dev=formatted / "dev.parquet")
    return Source(name, formatted / "train.parquet", max_rows, dev=formatted / "dev.parquet")


def evaluation_texts(sets: list[RetrievalSet], mteb: bool) -> EvaluationTexts:
    """The queries, relevant documents and other documents of all evaluation sets and MTEB tasks."""
    queries, documents, distractors = read_texts(MTEB / TEXTS, None if mteb else []).values()
    for each in sets:
        relevant = {document for judged in each.qrels.values() for document in judged}
        queries += each.queries.values()
        for document, text in each.corpus.items():
            (documents if document in relevant else distractors).append(text)
    return EvaluationTexts(queries, documents, distractors)


if __name__ == "__main__":
    run_stage(main)
