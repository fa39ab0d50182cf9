"""manifest.json beside downloaded files: their origin, their licence, and the sha256 of each.

It holds no date, so that the same files have the same manifest.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stages.runtime.files import read_json, write_json

MANIFEST, CARD = "manifest.json", "README.md"
NON_COMMERCIAL = re.compile(r"(?<![a-z])(nc|non-?commercial)(?![a-z])")
HEADER = re.compile(r"\A\ufeff?\s*---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
LONGEST_CITATION = 20_000  # characters; the search for a brace that is missing ends there
CITATION = re.compile(r"^[ \t]*@[A-Za-z]+\s*\{", re.MULTILINE)


def manifest(
    folder: Path,
    *,
    kind: str | None,
    repo: str | None = None,
    revision: str | None = None,
    digests: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The manifest of the files below ``folder``. Licence and citation come from its README.md, if there is one.

    ``digests`` gives known sha256 sums, by path in ``folder``: these files are not read again.
    """
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            files.append({"path": name, "size": path.stat().st_size, "sha256": (digests or {}).get(name) or sha256(path)})
    card = folder / CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return {
        "repo": repo,
        "revision": revision,
        "kind": kind,
        "license": licence(text),
        "citation": citation(text),
        "files": sorted(files, key=lambda file: str(file["path"])),
    }


def write_manifest(folder: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as the manifest of ``folder``."""
    write_json(folder / MANIFEST, value)


def read_licence(folder: Path) -> str | None:
    """The licence in the manifest of ``folder``; None if there is no manifest, or no licence in it."""
    value = read_manifest(folder).get("license")
    return value if isinstance(value, str) else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in ``folder``; empty if there is none."""
    value: dict[str, Any] = read_json(folder / MANIFEST)
    return value


def header(card: str) -> dict[str, Any]:
    """The YAML header of a card; empty if it has none, or an invalid one."""
    match = HEADER.match(card)
    try:
        values = yaml.safe_load(match[1]) if match else None
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: an impossible date
        return {}
    return values if isinstance(values, dict) else {}


def licence(card: str) -> str | None:
    """The licence in the YAML header of a card, in lower case. Several are joined by commas; ``license_name`` replaces ``other``.

    >>> licence("---\\nlicense: CC-BY-NC-4.0\\n---\\n# A set")
    'cc-by-nc-4.0'
    """
    values = header(card)
    given = values.get("license")
    if given == "other" and values.get("license_name"):
        given = values["license_name"]
    names = [str(name).strip().lower() for name in (given if isinstance(given, list) else [given]) if name is not None]
    return ", ".join(name for name in names if name) or None


def citation(card: str) -> str | None:
    """The BibTeX entries of a card, in order, without those whose braces do not close."""
    entries = (_entry(card[match.start() :].lstrip()) for match in CITATION.finditer(card))
    return "\n\n".join(entry for entry in entries if entry) or None


def forbids_commercial_use(name: str | None) -> bool:
    """Whether the identifier of a licence says that it forbids commercial use: cc-by-nc-4.0, cc-by-nc-sa, …"""
    return NON_COMMERCIAL.search((name or "").lower()) is not None


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(text: str) -> str | None:
    depth = 0
    for place, character in enumerate(text[:LONGEST_CITATION]):
        depth += (character == "{") - (character == "}")
        if depth == 0 and character == "}":
            return text[: place + 1]
    return None
