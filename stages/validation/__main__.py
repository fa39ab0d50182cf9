"""The sets that choose among checkpoints: data/validation, from the dev rows of the training sets or from evaluation sets.

A stage of its own, so that training depends on what is in the chosen sets and, where training.eval_steps is off, on none.
"""

from pathlib import Path

from stages.config.params import read_resolved
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import atomic_write, mark_unused

FORMATTED, EVALUATION, VALIDATION = Path("data/formatted"), Path("data/eval"), Path("data/validation")


def main() -> None:
    settings = read_resolved("validation")
    if not settings["dev"] and not settings["sets"]:
        mark_unused(VALIDATION)
        return

    from stages.retrieval.sets import distinct, load_sets, write_sets
    from stages.validation.dev import dev_set

    found = [dev_set(name, FORMATTED / name / "dev.parquet") for name in settings["dev"]]
    sets = [each for each in found if each is not None]
    if settings["dev"] and not sets:
        raise UserError("training.eval_sets: names dev, and no training set has dev rows; name one of evaluation.sets")
    for name, form in settings["sets"].items():
        sets += load_sets(EVALUATION / name, name, **form)
    with atomic_write(VALIDATION) as temporary:
        temporary.mkdir()
        write_sets(distinct(sets), temporary / "sets.json")


if __name__ == "__main__":
    run_stage(main)
