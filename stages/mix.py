"""Make data/mixed/train.parquet from the formatted sets, and metrics/mix.json: `python -m stages.mix`."""

from pathlib import Path

from stages.errors import run_stage
from stages.evaluation.sets import RetrievalSet, load_sets
from stages.files import write_json
from stages.mixing import EvaluationTexts, Source, mix
from stages.params import read_resolved

FORMATTED, EVALUATION, MIXED, METRICS = Path("data/formatted"), Path("data/eval"), Path("data/mixed"), Path("metrics/mix.json")


def main() -> None:
    settings = read_resolved("mix")
    sets: list[RetrievalSet] = []
    for name, entry in settings["evaluation_sets"].items():
        sets += load_sets(EVALUATION / name, name, **entry)
    report = mix(
        [Source(name, FORMATTED / name / "train.parquet", entry["max_rows"]) for name, entry in settings["datasets"].items()],
        MIXED,
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        strategy=settings["strategy"],
        temperature=settings["temperature"],
        stopping=settings["stopping"],
        evaluation=evaluation_texts(sets),
    )
    write_json(METRICS, report)


def evaluation_texts(sets: list[RetrievalSet]) -> EvaluationTexts:
    """The queries, relevant documents and other documents of all evaluation sets."""
    queries, documents, distractors = list[str](), list[str](), list[str]()
    for each in sets:
        relevant = {document for judged in each.qrels.values() for document in judged}
        queries += each.queries.values()
        for document, text in each.corpus.items():
            (documents if document in relevant else distractors).append(text)
    return EvaluationTexts(queries, documents, distractors)


if __name__ == "__main__":
    run_stage(main)
