"""The kinds of sets that params.yaml can name, and the patterns of the files that each reads; none: every file of rows.

A kind of training set has its reader in `stages.format.sources`. A kind of evaluation set has it in `stages.retrieval.sets`,
or in the module of `stages.retrieval` that has its name.
"""

ROWS = ("*.parquet", "*.arrow", "*.json", "*.jsonl", "*.ndjson", "*.json.gz", "*.jsonl.gz", "*.ndjson.gz")
TAB_SEPARATED = ("*.tsv", "*.tsv.gz")
LINES = tuple(f"*.{language}{packed}" for language in ("da", "sv", "no", "nb", "nn", "en") for packed in ("", ".gz"))
"""Text files of one language, a sentence a line, as OPUS has them."""
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
    "scored": (*ROWS, *TAB_SEPARATED),
    "documents": (*ROWS, "*.csv", "*.txt", "*.md"),
    "parallel": (*ROWS, *TAB_SEPARATED, *LINES),
}

TRAINING_OPTIONS: dict[str, tuple[str, ...]] = {"scored": ("max_negatives",), "documents": ("key_phrases",)}
"""Options of `stages.config.schema.Dataset` that a kind of training set has alone."""

EVALUATION: dict[str, tuple[str, ...]] = {
    "beir": BEIR,
    "nanobeir": ("corpus/*.parquet", "queries/*.parquet", "qrels/*.parquet"),
    "esci": ("*test*.parquet",),
    "products": ("*.csv", "*.parquet"),
}
EVALUATION_OPTIONS: dict[str, tuple[str, ...]] = {"esci": ("locale", "max_tokens", "max_queries"), "products": ("max_tokens",)}
"""Options of `stages.config.schema.EvaluationSet` that a kind of evaluation set has of its own."""
