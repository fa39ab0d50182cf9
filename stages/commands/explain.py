"""What did the model learn? The terms and weights of a text, and which of them a query and a document share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages.config.params import read_resolved
from stages.evaluate.summary import aligned
from stages.runtime.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

    from stages.evaluate.terms import Match, Representation, Term
    from stages.retrieval.vectors import Route

FINAL = Path("models/final")
BAR, EIGHTHS = 24, " ▏▎▍▌▋▊▉"  # cells of the longest bar, and the fractions of one


def main(
    query: Annotated[str | None, typer.Argument(metavar="QUERY", hidden=True)] = None,
    document: Annotated[str | None, typer.Option(metavar="TEXT", help="Text to encode as a document.")] = None,
    model: Annotated[Path, typer.Option(metavar="FOLDER", help="Model to use.")] = FINAL,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Allow the Python code in FOLDER to run.")] = False,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Number of terms to show.")] = 20,
) -> None:
    """Show the terms and weights that a trained model gives QUERY, a document, or both, and the terms that both share.

    \b
    nordic-sparse explain "Hva er hovedstaden i Norge?"
    nordic-sparse explain "Hva er hovedstaden i Norge?" --document "Oslo er hovedstaden i Norge."
    nordic-sparse explain --document "Oslo er hovedstaden i Norge." --model models/made
    """
    given: dict[Route, str | None] = {"query": query, "document": document}
    texts = {route: text for route, text in given.items() if text is not None}
    if not texts:
        raise UserError('explain: needs a text; give a query, a document (--document "…"), or both')
    if empty := [route for route, text in texts.items() if not text.strip()]:
        raise UserError(f"explain: the {empty[0]} must not be empty; give a text in quotes")
    encoder = load(model, trust_remote_code)

    from stages.evaluate.terms import matches, represent
    from stages.retrieval.documents import best_window
    from stages.retrieval.treatment import Treatment

    treatment = Treatment.read(model)
    if query is not None and document is not None:
        texts["document"] = best_window(encoder, query, document, treatment)
    found = [represent(encoder, text, route, treatment) for route, text in texts.items()]
    print("", *(f"{weights(each, top)}\n" for each in found), sep="\n")
    if len(found) == 2:
        print(f"{shared(found[0], found[1], matches(*found), top)}\n")


def load(folder: Path, trust_remote_code: bool) -> "SparseEncoder":
    """The model in ``folder``; its own code may also run if it is models/final and params.yaml allowed that."""
    require_model(folder)
    if folder == FINAL:
        trust_remote_code = trust_remote_code or bool(read_resolved("evaluate").get("trust_remote_code"))

    from stages.pretrained.files import Use, task_of
    from stages.pretrained.own_code import require_allowed_code

    use = Use("--model", str(folder), task_of(folder, "trained"), trust_remote_code, permission="add --trust-remote-code")
    require_allowed_code(folder, use)

    from sentence_transformers import SparseEncoder

    from stages.runtime.quiet import quiet_libraries

    quiet_libraries()
    return SparseEncoder(str(folder), trust_remote_code=trust_remote_code, local_files_only=True)


def require_model(folder: Path) -> None:
    """Raise `UserError` if ``folder`` holds no model."""
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        remedy = "run `dvc repro` to train one, or give" if folder == FINAL else "give"
        raise UserError(f"{folder}: has no model; {remedy} another folder with --model")


def weights(representation: "Representation", top: int) -> str:
    """A text's terms as aligned lines with bars, then the legend."""
    terms = representation.terms[:top]
    title = f"{representation.route} · {' '.join(representation.text.split())}"
    lines = [title, f"{len(representation.terms)} of {representation.size:,} dimensions are active", ""]
    longest = max((term.weight for term in terms), default=0.0)
    rows = [
        [_mark(term), term.name, f"{term.weight:.3f}", _bar(term.weight, longest).ljust(BAR if term.words else 0), ", ".join(term.words)]
        for term in terms
    ]
    lines += _indented(rows, "llrll")
    if rest := representation.terms[top:]:
        total = sum(term.weight for term in representation.terms)
        lines.append(f"  … and {len(rest)} more with {sum(term.weight for term in rest) / total:.0%} of the weight")
    notes = []
    if any(term.expansion for term in representation.terms):
        notes.append("+ expansion: not in the text")
    if representation.silent:
        notes.append(f"no weight: {'  '.join(representation.silent)}")
    if representation.latent:
        notes.append("latents have no words of their own; next to each: the words whose removal lowers its weight most")
    return "\n".join(lines + ([""] if notes else []) + [f"  {note}" for note in notes])


def shared(query: "Representation", document: "Representation", found: Sequence["Match"], top: int) -> str:
    """The terms that query and document share, with both weights and the share of the score."""
    score = sum(match.product for match in found)
    counts = f"{len(found)} shared dimensions, of {len(query.terms)} in the query and {len(document.terms)} in the document"
    lines = [f"score {score:.3f} · {counts}"]
    if not found:
        return "\n".join([*lines, "", "  The model finds nothing in common."])
    largest = found[0].share
    rows = [["term", "query", "", "document", "", "share", ""]]
    rows += [
        [
            match.query.name,
            f"{match.query.weight:.3f}",
            _mark(match.query),
            f"{match.document.weight:.3f}",
            _mark(match.document),
            f"{match.share:.1%}",
            _bar(match.share, largest).ljust(BAR if query.latent else 0) + _words(match),
        ]
        for match in found[:top]
    ]
    lines += ["", *_indented(rows, "lrlrlrl")]
    if rest := found[top:]:
        lines.append(f"  … and {len(rest)} more with {sum(match.share for match in rest):.1%} of the score")
    both = {match.query.dimension for match in found}
    missed = [term for term in query.terms if term.dimension not in both][:top]
    if missed and not query.latent:
        lines += ["", f"  only in the query: {'  '.join(f'{term.name} {term.weight:.3f}' for term in missed)}"]
    return "\n".join(lines)


def _words(match: "Match") -> str:
    """For latents, the words of both sides."""
    return f"  {', '.join(match.query.words)} ~ {', '.join(match.document.words)}" if match.query.words or match.document.words else ""


def _mark(term: "Term") -> str:
    return "+" if term.expansion else ""


def _bar(value: float, longest: float) -> str:
    eighths = round(8 * BAR * max(0.0, value) / longest) if longest > 0 else 0
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def _indented(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    return [f"  {line}".rstrip() for line in aligned(rows, sides)]
