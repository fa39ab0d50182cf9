"""The kinds of sets that params.yaml can name, and the patterns of the files that each reads; none: every file of rows.

A kind of training set has its reader in `stages.format.sources`, one of evaluation sets in `stages.retrieval.sets`; both find it by name.
"""

BEIR = ("corpus.jsonl", "queries.jsonl", "qrels/*.tsv")

TRAINING: dict[str, tuple[str, ...]] = {
    "triplets": (),
    "squad": (),
    "openbookqa": (),
    "pairs": (),
    "supervised_da": (),
    "paws_x": ("*.tar.gz", "*/translated_*.json"),
    "ddsc": (),
    "eti": (),
    "esci": (),
    "beir": BEIR,
}

EVALUATION: dict[str, tuple[str, ...]] = {
    "beir": BEIR,
    "nanobeir": ("corpus/*.parquet", "queries/*.parquet", "qrels/*.parquet"),
}
