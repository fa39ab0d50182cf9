"""Norwegian PAWS-X (NbAiLab/norwegian-paws-x): paraphrases in bokmål and nynorsk, in one tar archive.

Members are read inside the archive; nothing is extracted, so no member can write to disk.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from stages.format.sources.chunk import Chunk, Options, chunk
from stages.format.sources.columns import read_columns
from stages.format.sources.folder import RawFolder
from stages.format.sources.json_rows import json_tables
from stages.format.sources.labels import LABEL, label_values
from stages.hub.splits import Split
from stages.runtime.errors import UserError

MEMBER = re.compile(r"(?:^|/)(?P<language>nb|nn)/translated_(?P<split>train|dev)(?:_2k)?\.json$")
COLUMNS = ["sentence1", "sentence2", LABEL]


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield (sentence1, sentence2) of the rows with label 1; the others share words, not meaning."""
    raw.reads(COLUMNS)
    found = False
    for name, language, table in _tables(raw, split):
        found = True
        raw.count(name, split, len(table))
        chosen = options.languages is None or language in options.languages
        reasons = {
            "language not chosen": np.full(len(table), not chosen),
            "not a paraphrase": label_values(table[LABEL], name) != 1,
        }
        yield chunk(table["sentence1"], table["sentence2"], language=language, reasons=reasons)
    if split == "train" and not found:
        raise UserError(f"{raw.path}: holds no nb/translated_train.json; put norwegian-x-final.tar.gz there")


def _tables(raw: RawFolder, split: Split) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield (file, language, some rows) of the split's files, in archives and outside, in order."""
    for archive in sorted(raw.path.rglob("*.tar.gz")):
        raw.leave_out(raw.name(archive), "its members are listed")
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    if member.isdir():
                        continue
                    name = f"{raw.name(archive)}: {member.name}"
                    raw.leave_out(name, "not a translated training or dev file in bokmål or nynorsk")
                    language = _language(member.name, split) if member.isreg() else None  # a link may lead nowhere, or to itself
                    if language and (file := tar.extractfile(member)):
                        yield from ((name, language, table) for table in json_tables(file, f"{archive}: {member.name}", COLUMNS))
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise UserError(f"{archive}: is not a complete tar.gz; fetch it again") from error
    for path in sorted(raw.path.rglob("translated_*.json")):
        if language := _language(raw.name(path), split):
            yield from ((raw.name(path), language, table) for table in read_columns(path, COLUMNS))


def _language(name: str, split: Split) -> str | None:
    match = MEMBER.search(name)
    return match["language"] if match and match["split"] == split else None
