"""Make the base model from the mixed training texts if model.base_model is `made`: a lexical one or, for csr, a dense one."""

from pathlib import Path
from tempfile import TemporaryDirectory

from stages.config.params import read_resolved
from stages.runtime.errors import run_stage
from stages.runtime.files import atomic_write, mark_unused

MIXED, MADE = Path("data/mixed/train.parquet"), Path("models/made")


def main() -> str:
    settings = read_resolved("make_base")
    if not settings["made"]:
        mark_unused(MADE)
        return "not needed, because model.base_model is not `made`"

    from stages.make_base.lexical import make_base
    from stages.rows.parquet import texts
    from stages.runtime.quiet import quiet_libraries

    quiet_libraries()

    length, seed = settings["max_seq_length"], settings["seed"]
    with atomic_write(MADE) as folder, TemporaryDirectory() as working:
        lexical = Path(working) / "lexical" if settings["dense"] else folder
        lexical.mkdir()
        make_base(lambda: texts(MIXED), lexical, max_seq_length=length, seed=seed, **settings["made"])
        if settings["dense"]:
            from stages.make_base.dense import make_dense

            make_dense(lexical, texts(MIXED, ["positive"]), folder, seed=seed)
    made = settings["made"]
    shape = f"{made['num_hidden_layers']} layers of width {made['hidden_size']}, at most {made['vocab_size']:,} word pieces"
    return f"a {'dense' if settings['dense'] else 'lexical'} base model from the training texts: {shape}"


if __name__ == "__main__":
    run_stage(main)
