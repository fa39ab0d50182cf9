"""Is one run better than another, or lucky? The difference by set, tested over queries, and the queries that changed most."""

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages.runtime.errors import UserError

if TYPE_CHECKING:
    from stages.evaluate.query_tables import Paired, QueryTable, Row
    from stages.evaluate.significance import Comparison

QUERIES, WORKSPACE = Path("metrics/queries"), "workspace"
WIDEST, MIN_TEXT = 120, 30
LEGEND = (
    "nDCG@10; 95% interval by bootstrap over the queries; p by a paired randomisation test, of the sets with Holm's correction; "
    "▲ ▼: p < .05; won: queries on which B is above A. Each run has one seed, and its spread is not in these numbers (docs/evaluation.md)."
)
TERMS = (
    "Below each query: the terms that put its relevant document above (+) or below (−) the model's first other document, with the "
    "difference of their products of weights."
)


def main(
    first: Annotated[str, typer.Argument(metavar="A", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", show_default=False)] = WORKSPACE,
    only: Annotated[list[str] | None, typer.Option("--set", metavar="NAME", help="Compare this set; repeat it for several.")] = None,
    top: Annotated[int, typer.Option(metavar="N", min=0, help="Number of queries gained and lost to show.")] = 10,
) -> None:
    """Test the difference between two runs, A and B, over the queries of each evaluation set.

    A and B are each an experiment, branch, tag or commit, `workspace` (the last run here, B's default), or a folder: another checkout, or
    a copy of metrics/queries.

    \b
    nordic-sparse compare weak strong
    nordic-sparse compare HEAD --set NanoSampleNb
    """
    from stages.evaluate.query_tables import pair

    tables = tables_of(first), tables_of(second)
    names = wanted(tables, first, second, only)
    pairs = [pair(tables[0][name], tables[1][name]) for name in names]
    if not (compared := [each for each in pairs if each.first]):
        raise UserError(f"compare: {first} and {second} have no query in common in {', '.join(names)}; evaluate both on the same sets")
    width = min(shutil.get_terminal_size().columns, WIDEST)
    print(f"\nA  {first}\nB  {second}\n\n{scores(compared, width)}\n")
    for line in [LEGEND, *remarks(pairs, tables)]:
        print(textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False))
    if top:
        print(f"\n{changes(compared, top, width)}\n")


def tables_of(name: str) -> dict[str, "QueryTable"]:
    """The tables of an experiment, branch, tag or commit, from the DVC cache; of the workspace or of a folder.

    Raises:
        UserError: nothing has this name, or it has no tables.
    """
    from stages.evaluate.query_tables import read_tables

    if name == WORKSPACE and not any(QUERIES.glob("*.parquet")):
        raise UserError(f"{QUERIES}: is missing; run `dvc repro`")
    for folder in [QUERIES] if name == WORKSPACE else [Path(name), Path(name, "queries"), Path(name) / QUERIES]:
        if paths := sorted(folder.glob("*.parquet")):
            return read_tables((str(path), _content(path)) for path in paths)
    return read_tables(from_cache(name))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); run `dvc repro` again, or remove it") from error


def from_cache(revision: str) -> list[tuple[str, bytes]]:
    """(path, content) of the tables of a revision or experiment in this repository, from the DVC cache or else its remote."""
    from dvc.exceptions import DvcException
    from dvc.fs import DVCFileSystem
    from dvc.scm import RevError, SCMError
    from dvc_data.index import DataIndexDirError

    try:
        files = DVCFileSystem(rev=revision)
        paths = sorted(path for path in files.find(str(QUERIES)) if path.endswith(".parquet"))
        if paths:
            return [(f"{revision}:{path}", files.read_bytes(path)) for path in paths]
    except RevError as error:
        what = f"the folder {revision} has no tables of queries, and no" if Path(revision).is_dir() else "there is no folder,"
        remedy = "`dvc exp list` and `git branch` show the names"
        raise UserError(f"compare: {what} experiment, branch, tag or commit named {revision!r}; {remedy}") from error
    except (SCMError, DvcException) as error:
        raise UserError(f"compare: {revision} cannot be read from this folder ({error}); run the command in the checkout") from error
    except (OSError, DataIndexDirError) as error:
        remedy = f"get them with `dvc fetch` from a remote, or write them with `git checkout {revision}` and `dvc repro`"
        raise UserError(f"compare: the tables of {revision} are not in this machine's DVC cache; {remedy}") from error
    remedy = "`dvc repro` in a checkout of it writes them, if its code can"
    raise UserError(f"compare: {revision} has no {QUERIES}, which its evaluate stage should have written; {remedy}")


def wanted(
    tables: tuple[Mapping[str, "QueryTable"], Mapping[str, "QueryTable"]], first: str, second: str, only: Sequence[str] | None
) -> list[str]:
    """The sets to compare; `UserError` if one is not on both sides, or there is none."""
    both = [name for name in tables[0] if name in tables[1]]
    listed = " and ".join(f"{name} has {', '.join(table) or 'none'}" for name, table in zip((first, second), tables, strict=True))
    if missing := [name for name in only or () if name not in both]:
        raise UserError(f"--set: must be a set of both runs, got {', '.join(missing)}; {listed}")
    if not both:
        raise UserError(f"compare: the runs have no evaluation set in common: {listed}; evaluate both on the same sets")
    return [name for name in both if name in only] if only else both


def scores(pairs: Sequence["Paired"], width: int) -> str:
    """The table: a line for each set and, of several, for their mean."""
    from stages.evaluate.significance import compare, holm
    from stages.evaluate.summary import aligned

    columns = [each.scores() for each in pairs]
    found = [compare([before], [after]) for before, after in columns]
    lines = [_cells(each.name, result, p) for each, result, p in zip(pairs, found, holm([each.p for each in found]), strict=True)]
    if len(pairs) > 1:
        whole = compare([before for before, _ in columns], [after for _, after in columns])
        lines.append(_cells("mean", whole, whole.p))
    header = ["set", "n", "A", "B", "B − A", "95% interval", "p", "won/tied/lost"]
    rest = max(map(len, aligned([row[1:] for row in [header, *lines]], "rrrrrrr")))
    room = max(8, width - rest - 2)
    first, *rows = aligned([[_short(row[0], room), *row[1:]] for row in [header, *lines]], "lrrrrrrr")
    rule = "-" * max(map(len, [first, *rows]))
    return "\n".join([first, rule, *rows[: len(pairs)], *([rule, rows[-1]] if len(pairs) > 1 else [])])


def remarks(pairs: Sequence["Paired"], tables: Sequence[Mapping[str, "QueryTable"]]) -> list[str]:
    """What could not be compared: sets of one side, and queries of one side."""
    lines = []
    for side, own, other in (("A", *tables), ("B", *reversed(tables))):
        if alone := [name for name in own if name not in other]:
            lines.append(f"Only in {side}, not compared: {', '.join(alone)}.")
    for each in pairs:
        if each.only_first or each.only_second:
            lines.append(
                f"{each.name} is not the same set in both: by id and text, {each.only_first} queries are only in A and {each.only_second} "
                f"only in B. The {len(each.first)} that both have are compared."
            )
        if each.documents[0] != each.documents[1]:
            lines.append(
                f"{each.name} has {each.documents[0]:,} documents in A and {each.documents[1]:,} in B: its scores cannot be compared."
            )
    return lines


def changes(pairs: Sequence["Paired"], top: int, width: int) -> str:
    """The queries that gained and lost most, each with its ranks and, for A and B, the terms that did it."""
    from stages.evaluate.query_tables import SCORE

    several = len(pairs) > 1
    rows = [
        (after[SCORE] - before[SCORE], before, after, f"{_short(each.name, width // 5)}  " if several else "")
        for each in pairs
        for before, after in zip(each.first, each.second, strict=True)
    ]
    parts = []
    for title, sign in (("Gained most from A to B", 1), ("Lost most from A to B", -1)):
        moved = sorted((row for row in rows if sign * row[0] > 0), key=lambda row: -sign * row[0])
        parts.append(f"{title} ({len(moved):,} in all)" if moved else f"{title}: no query")
        parts += ["", *(line for row in moved[:top] for line in _query(*row, width))] if moved else []
        parts.append("")
    return "\n".join([*parts, textwrap.fill(TERMS, width)]) if any(row[0] for row in rows) else "No query changed."


def _query(difference: float, before: "Row", after: "Row", of_set: str, width: int) -> list[str]:
    from stages.evaluate.query_tables import RANK

    ranks = " → ".join(f"{row[RANK] or '>100'}" for row in (before, after))
    head = f"  {_signed(difference):>6}  rank {ranks:<11}  {of_set}"
    indent = " " * min(len(head), width - MIN_TEXT)
    text = textwrap.wrap(before["query"], width - len(indent), max_lines=3, placeholder=" …") or [""]
    sides = [f"          {side}  {_terms(row, width - 13)}".rstrip() for side, row in (("A", before), ("B", after))]
    return [f"{head}{text[0]}", *(f"{indent}{line}" for line in text[1:]), *sides]


def _terms(row: "Row", width: int) -> str:
    """As many of the terms with the largest margins as have room."""
    from stages.evaluate.query_tables import margins

    if row["relevant_terms"] is None:
        return "terms are not known"
    shown = ""
    chosen: dict[str, list[str]] = {"+": [], "−": []}
    for term, margin in ((term, margin) for term, margin in margins(row) if abs(margin) >= 0.005):
        chosen["+" if margin > 0 else "−"].append(f"{term} {_number(abs(margin), 2)}")
        line = "   ".join(f"{sign} {', '.join(terms)}" for sign, terms in chosen.items() if terms)
        if len(line) > width:
            break
        shown = line
    return shown or "no term makes a difference"


def _cells(name: str, found: "Comparison", p: float) -> list[str]:
    from stages.evaluate.significance import mark

    return [
        name,
        f"{found.queries:,}",
        _number(found.first),
        _number(found.second),
        f"{_signed(found.difference)}{mark(found.difference, p)}",
        f"{_signed(found.low)} … {_signed(found.high)}",
        "<.001" if p < 0.001 else _number(p),
        f"{found.wins}/{found.ties}/{found.losses}",
    ]


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def _signed(value: float) -> str:
    return f"{'−' if round(value, 3) < 0 else '+'}{_number(abs(value))}"


def _short(text: str, width: int) -> str:
    """``text``, with "…" in the middle if it does not fit: the end of a set's name is often its language."""
    return text if len(text) <= width else f"{text[: width // 2]}…{text[len(text) - (width - 1) // 2 :]}"
