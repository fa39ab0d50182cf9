"""Which model made a vector: a digest of its files, so that vectors of two models are never compared."""

from collections.abc import Iterable
from pathlib import Path

import xxhash

from stages.retrieval.treatment import FILE

BLOCK = 2**20


def digest(files: Iterable[tuple[str, Path]]) -> str:
    """32 hexadecimal digits of files' names and contents, at the speed of the disk."""
    total = xxhash.xxh3_128()
    for name, path in files:
        total.update(f"{name}\n".encode())
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                total.update(block)
    return total.hexdigest()


def model_digest(folder: Path) -> str:
    """The digest of a model's folder. Model cards, hidden files and `retrieval.json` do not change what the model returns."""
    files = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")) if path.is_file())
    return digest(
        (name.as_posix(), path)
        for name, path in files
        if name.suffix != ".md" and name.as_posix() != FILE and not any(part.startswith(".") for part in name.parts)
    )
