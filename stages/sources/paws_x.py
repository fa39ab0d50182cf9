"""Norwegian PAWS-X (NbAiLab/norwegian-paws-x): paraphrases in bokmål and nynorsk, in one tar archive.

Its members are read where they lie in the archive; nothing is extracted, so no member can write anywhere.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import UserError
from stages.sources.chunk import Chunk, Options, Split, chunk
from stages.sources.reading import json_rows, json_tables, read_columns

MEMBER = re.compile(r"(?:^|/)(?P<language>nb|nn)/translated_(?P<split>train|dev)(?:_2k)?\.json$")
COLUMNS = ["sentence1", "sentence2", "label"]


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """(sentence1, sentence2) of the rows with label 1: the others share words, not meaning."""
    found = False
    for language, table in _tables(raw, split):
        found = True
        wanted = table if options.wants(language) else table[:0]
        rows = wanted.filter(pc.equal(wanted["label"], "1"))
        dropped = {"language not chosen": len(table) - len(wanted), "not a paraphrase": len(wanted) - len(rows)}
        yield chunk(rows["sentence1"], rows["sentence2"], language=language, dropped=dropped)
    if split == "train" and not found:
        raise UserError(f"{raw}: holds no nb/translated_train.json; put norwegian-x-final.tar.gz there")


def _tables(raw: Path, split: Split) -> Iterator[tuple[str, pa.Table]]:
    """(language, some rows) of the split's files in every archive, and of loose ones, in order."""
    for archive in sorted(raw.rglob("*.tar.gz")):
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    language = _language(member.name, split) if member.isreg() else None  # a link may lead nowhere, or to itself
                    if language and (file := tar.extractfile(member)):
                        where = f"{archive}: {member.name}"
                        yield from ((language, table) for table in json_tables(json_rows(file, where), where, COLUMNS))
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise UserError(f"{archive}: is no complete tar.gz; fetch it again") from error
    for path in sorted(raw.rglob("translated_*.json")):
        if language := _language(path.relative_to(raw).as_posix(), split):
            yield from ((language, table) for table in read_columns(path, COLUMNS))


def _language(name: str, split: Split) -> str | None:
    match = MEMBER.search(name)
    return match["language"] if match and match["split"] == split else None
