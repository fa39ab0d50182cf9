"""Make the base model if it depends on the mixed training texts.

If model.base_model is `made`, it is built from them: a lexical one or, for csr, a dense one. If model.trim_vocabulary is set, it is
models/base with its vocabulary cut to theirs.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.config.params import read_resolved
from stages.runtime.errors import run_stage
from stages.runtime.files import atomic_write, mark_unused

MIXED, BASE, MADE = Path("data/mixed/train.parquet"), Path("models/base"), Path("models/made")


def main() -> str:
    settings = read_resolved("make_base")
    if settings["trimmed"]:
        return trim(settings["trimmed"])
    if not settings["made"]:
        mark_unused(MADE)
        return "not needed: model.base_model is not `made`, and model.trim_vocabulary is null"

    from stages.make_base.lexical import make_base
    from stages.rows.parquet import texts
    from stages.runtime.quiet import quiet_libraries

    quiet_libraries()

    length, seed = settings["max_seq_length"], settings["seed"]
    with atomic_write(MADE) as folder, TemporaryDirectory() as working:
        lexical = Path(working) / "lexical" if settings["dense"] else folder
        lexical.mkdir()
        make_base(lambda: texts(MIXED), texts(MIXED, ["positive"]), lexical, max_seq_length=length, seed=seed, **settings["made"])
        if settings["dense"]:
            from stages.make_base.dense import make_dense

            make_dense(lexical, texts(MIXED, ["positive"]), folder, seed=seed)
    made = settings["made"]
    shape = f"{made['num_hidden_layers']} layers of width {made['hidden_size']}, at most {made['vocab_size']:,} word pieces"
    return f"a {'dense' if settings['dense'] else 'lexical'} base model from the training texts: {shape}"


def trim(settings: Mapping[str, Any]) -> str:
    """Cut the base model's vocabulary to the training texts."""
    from stages.make_base.trimming import prompted, trim_base
    from stages.pretrained.check import prepared
    from stages.pretrained.files import Use
    from stages.runtime.quiet import quiet_libraries

    quiet_libraries()
    use = Use("model.base_model", settings["name"], "fill-mask", settings["trust_remote_code"])
    with prepared(BASE) as base, atomic_write(MADE) as folder:
        folder.mkdir()
        before, after = trim_base(base, folder, use, partial(prompted, MIXED, settings["prompts"]), settings["smallest_count"])
    return f"{settings['name']} with {after:,} of its {before:,} tokens: those that the training texts have, and all single characters"


if __name__ == "__main__":
    run_stage(main)
