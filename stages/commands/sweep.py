"""A sweep: many trials of one file, each a DVC experiment. docs/sweeps.md."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages.runtime.errors import UserError

if TYPE_CHECKING:
    from stages.config.sweep import SweepFile
    from stages.sweeps.plan import Plan
    from stages.sweeps.space import Configuration
    from stages.sweeps.state import Sweep

SWEEPS = Path("sweeps")
LAUNCHERS = ("local", "ray", "slurm", "modal")


def main(
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    launcher: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Where trials run: {', '.join(LAUNCHERS)} (default: as in FILE).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check FILE and print the trials.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run the trials that failed once more.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Remove all results and experiments, and start over with the checkout as it is now.")
    ] = False,
    apply_best: Annotated[
        bool, typer.Option("--apply-best", help="Apply the best trial's experiment to this checkout, if all have ended.")
    ] = False,
) -> None:
    """Run the trials of a sweep file, each as a DVC experiment; run it again to go on after any interruption.

    \b
    nordic-sparse sweep sweeps/regularizers.yaml --dry-run
    nordic-sparse sweep sweeps/regularizers.yaml
    """
    from stages.config.sweep import read_sweep, validated_sweep
    from stages.sweeps.objectives import check_objectives
    from stages.sweeps.space import Checker, draws, grid, settings_of

    if path.parent.resolve() != SWEEPS.resolve():
        raise UserError(f"{path}: must be in {SWEEPS}/ of this checkout, whose folders git ignores; move it there")
    file = read_sweep(path)
    if launcher:
        file = validated_sweep(file.model_dump(exclude_unset=True) | {"launcher": launcher}, path)
    checker = Checker(file, path)
    if file.method == "tpe":
        checker.corners()
        configurations = []
    else:
        configurations = {"grid": grid, "random": draws}[file.method](file)
        checker.all_of(configurations)
    check_objectives(file, path, checker.params(settings_of(file, (configurations or [{}])[0])[0]))
    if dry_run:
        print(listing(file, configurations))
        return

    from stages.sweeps.state import Sweep, held

    sweep = Sweep(path.parent / path.stem)
    with held(sweep.folder / "lock", "this sweep", seconds=5):
        begin(sweep, file, restart)
        from stages.sweeps.plan import Plan

        if retry_failed:
            for trial in sweep.trials():
                if (result := sweep.result(trial.number)) and result.state == "failed":
                    sweep.forget(trial.number)
        plan = Plan(sweep, file, checker)
        remark(sweep, file, plan)
        if len(plan.results) < plan.total:
            with resumable(path, plan):
                run(sweep, file, path, plan)
        print(outcome(sweep, file, plan, path))
        if plan.results:
            from stages.sweeps.report import write

            print(f"The whole is in {write(sweep, file, plan)}.")
        if apply_best:
            apply(sweep, plan)


def listing(file: "SweepFile", configurations: list["Configuration"]) -> str:
    """The table of trials, or for tpe of the values that they may take."""
    from stages.evaluate.summary import aligned
    from stages.sweeps.space import settings_of

    if file.method == "tpe":
        spaces = [[key, str(space)] for key, space in file.parameters.items()]
        trials = (file.trials or 0) * len(file.seeds or [None])
        return "\n".join(
            [*aligned([["parameter", "values"], *spaces], "ll"), f"{trials} trials, whose values depend on the results before them"]
        )
    rows = [settings for configuration in configurations for settings in settings_of(file, configuration)]
    keys = [key for key in rows[0] if key not in file.fixed]
    table = aligned(
        [["trial", *keys], *([str(number), *(str(row[key]) for key in keys)] for number, row in enumerate(rows))], "r" + "r" * len(keys)
    )
    fixed = [f"fixed: {', '.join(f'{key}={value}' for key, value in file.fixed.items())}"] if file.fixed else []
    return "\n".join([*table, *fixed, f"{len(rows)} trials"])


def begin(sweep: "Sweep", file: "SweepFile", restart: bool) -> None:
    """Write down what the sweep runs, at its first start; say what has changed since."""
    from stages.runtime.files import remove
    from stages.sweeps.base import changes, differing, identity, snapshot
    from stages.sweeps.clone import run_git

    who = identity()
    if restart:
        for name in ("trials", "sweep.json", "optuna.log"):
            remove(sweep.folder / name)
    began = sweep.began_with
    found = run_git(Path(), "for-each-ref", "--format=%(refname)", "refs/exps").split()
    taken = [reference for reference in found if re.fullmatch(rf"{sweep.name}-\d+", reference.rpartition("/")[2])]
    if restart:
        for reference in taken:
            run_git(Path(), "update-ref", "-d", reference)
    elif taken and not began:
        raise UserError(
            f"sweep: there are experiments of this name already, such as {taken[0].rpartition('/')[2]}; rename the file, remove them with "
            f"`dvc exp remove`, or remove them and start over with --restart"
        )
    if not began or not sweep.started:  # if its engine was missing, nothing has run yet
        commit = snapshot(sweep.name)
        if local := changes():
            print(f"Uncommitted changes go along: {listed(local)}")
    else:
        commit = began["commit"]
        before, now = run_git(Path(), "rev-parse", f"{commit}^", "HEAD").split()
        if (changed := differing(commit)) or before != now:
            what = listed(changed) or f"it is at {now[:10]}"
            print(f"The checkout has changed since this sweep began ({what}). Its trials still run commit {before[:10]} and the changes of "
                  "then; --restart starts over with the files as they are now.")  # fmt: skip
    sweep.begin(commit=commit, identity=who, file=file.model_dump(mode="json", exclude_unset=True))


def listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + " …" * (len(names) > 10)


def remark(sweep: "Sweep", file: "SweepFile", plan: "Plan") -> None:
    """Say what is there already."""
    if plan.left_out:
        print(f"{plan.left_out} trials of earlier starts are not in the file any more; their experiments stay.")
    if file.method == "random" and (few := len(plan.groups())) < (file.trials or 0):
        print(f"trials: {file.trials} is more than there are: the parameters have {few} configurations.")
    if plan.results:
        print(f"{len(plan.results)} of {plan.total} trials have a result.")


def run(sweep: "Sweep", file: "SweepFile", path: Path, plan: "Plan") -> None:
    """Run what is missing on the file's launcher."""
    from stages.sweeps import control
    from stages.sweeps.table import Table

    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc: cannot say where its cache is ({done.stderr.strip()}); run the command in the checkout")
    module = {"modal": "modal_launcher"}.get(file.launcher, file.launcher)
    launcher = import_module(f"stages.launchers.{module}").open_launcher(
        sweep.folder, getattr(file, file.launcher), Path(done.stdout.strip())
    )
    control.run(sweep, file, path, plan, launcher, Table(sweep, file, plan))


@contextmanager
def resumable(path: Path, plan: "Plan") -> Iterator[None]:
    """After Ctrl-C, say how to go on; typer itself would only print "Aborted"."""
    try:
        yield
    except KeyboardInterrupt:
        plan.refresh()
        have = f"{len(plan.results)} of {plan.total} trials have a result"
        print(f"interrupted; {have}; `nordic-sparse sweep {path}` goes on with the rest", file=sys.stderr)
        raise typer.Exit(130) from None


def outcome(sweep: "Sweep", file: "SweepFile", plan: "Plan", path: Path) -> str:
    """The configurations by their first objective, what failed and why, and how to apply the best."""
    from stages.evaluate.summary import aligned

    goals, keys = file.goals(), [*file.parameters]
    rows = []
    for group in plan.ranked():
        cells = [
            f"{group.mean(metric):.4g}" + (f" ± {off:.2g}" if (off := group.deviation(metric)) is not None else "") for metric, _ in goals
        ]
        rows.append([sweep.experiment(min(group.results)), *cells, *(str(group.parameters[key]) for key in keys)])
    lines = aligned([["experiment", *(metric for metric, _ in goals), *keys], *rows], "l" + "r" * (len(goals) + len(keys))) if rows else []
    ended = sorted(plan.results.items())
    lines += [f"trial {number} {result.state}: {result.reason}" for number, result in ended if result.state != "done"]
    if rows:
        lines.append(f"\nTo take the best: `nordic-sparse sweep {path} --apply-best`, or `dvc exp apply {rows[0][0]}`; then `dvc repro`.")
    return "\n" + "\n".join(lines)


def apply(sweep: "Sweep", plan: "Plan") -> None:
    """`dvc exp apply` the best configuration's first trial.

    Raises:
        UserError: there is none, it would replace changes that are nowhere else, or dvc refuses.
    """
    from stages.sweeps.base import replaced
    from stages.sweeps.clone import run_git

    if not (ranked := plan.ranked()):
        raise UserError("--apply-best: no trial is done; see the reasons above")
    name = sweep.experiment(min(ranked[0].results))
    if sweep.file.launcher == "modal":
        from stages.commands.modal_fetch import bring

        bring([name])
    for commit in run_git(Path(), "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").split():
        if mine := replaced(sweep.began_with["commit"], commit):
            raise UserError(
                f"--apply-best: {', '.join(mine)}: changed since the sweep began, and dvc would replace it by the experiment's; "
                "commit it or `git stash` it first"
            )
    done = subprocess.run([sys.executable, "-m", "dvc", "exp", "apply", name], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"--apply-best: dvc cannot apply {name} ({' '.join(done.stderr.split())})")
    print(f"Applied {name}: params.yaml and the results are those of this trial; `dvc repro` trains nothing, `git commit` keeps it.")
