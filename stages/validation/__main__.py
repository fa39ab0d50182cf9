"""Make data/validation, the sets that choose among checkpoints, from the training sets' dev rows or from evaluation sets.

It is a stage of its own so that training depends only on the sets it uses: on none if training.eval_steps is null.
"""

from pathlib import Path

from stages.config.params import read_resolved
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import atomic_write, mark_unused

FORMATTED, EVALUATION, VALIDATION = Path("data/formatted"), Path("data/eval"), Path("data/validation")


def main() -> str:
    settings = read_resolved("validation")
    if not settings["dev"] and not settings["sets"]:
        mark_unused(VALIDATION)
        return "not needed, because training.eval_steps is null"

    from stages.retrieval.sets import distinct, load_sets, write_sets
    from stages.validation.dev import dev_set

    found = [dev_set(name, FORMATTED / name / "dev.parquet") for name in settings["dev"]]
    sets = [each for each in found if each is not None]
    if settings["dev"] and not sets:
        raise UserError(
            "training.eval_sets: names dev, and no training set has dev rows; add some (of kind beir: qrels/dev.tsv), or name one of "
            "evaluation.sets, whose score is then too high"
        )
    for name, form in settings["sets"].items():
        sets += load_sets(EVALUATION / name, name, **form)
    sets = distinct(sets)
    with atomic_write(VALIDATION) as temporary:
        temporary.mkdir()
        write_sets(sets, temporary / "sets.json")
    return f"{sum(len(each.queries) for each in sets)} queries in {len(sets)} sets ({', '.join(each.name for each in sets)})"


if __name__ == "__main__":
    run_stage(main)
