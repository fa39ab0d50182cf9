"""Make the base model from the mixed training texts, where params.yaml asks for `model.base_model: made`: lexical, for csr dense."""

from pathlib import Path
from tempfile import TemporaryDirectory

from stages.config.params import read_resolved
from stages.runtime.errors import run_stage
from stages.runtime.files import atomic_write, mark_unused

MIXED, MADE = Path("data/mixed/train.parquet"), Path("models/made")


def main() -> None:
    settings = read_resolved("make_base")
    if not settings["made"]:
        mark_unused(MADE)
        return

    from stages.make_base.lexical import make_base
    from stages.rows.parquet import texts

    length, seed = settings["max_seq_length"], settings["seed"]
    with atomic_write(MADE) as folder, TemporaryDirectory() as working:
        lexical = Path(working) / "lexical" if settings["dense"] else folder
        lexical.mkdir()
        make_base(lambda: texts(MIXED), lexical, max_seq_length=length, seed=seed, **settings["made"])
        if settings["dense"]:
            from stages.make_base.dense import make_dense

            make_dense(lexical, texts(MIXED, ["positive"]), folder, seed=seed)


if __name__ == "__main__":
    run_stage(main)
