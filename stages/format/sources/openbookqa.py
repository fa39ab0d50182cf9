"""NorOpenBookQA (ltg/noropenbookqa): a question and the fact that it rests on; a folder per language, nb and nn."""

from collections.abc import Iterator

import pyarrow.compute as pc

from stages.format.sources.chunk import Chunk, Options, Split, chunk, language_of, repeated
from stages.format.sources.folder import RawFolder
from stages.rows.dropping import as_mask, drop


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """(question, fact) pairs. A question without a fact has no positive: as its own positive it would teach nothing."""
    for path, table in raw.read_split(split, ["question_stem", "fact"]):
        languages = repeated(language_of(path, raw.path) or options.language, len(table))
        no_fact = ~as_mask(pc.not_equal(pc.utf8_trim_whitespace(table["fact"]), ""))
        reasons = {"language not chosen": options.unwanted(languages), "no fact": no_fact}
        rows, dropped = drop(table.append_column("language", languages), reasons)
        yield chunk(rows["question_stem"], rows["fact"], language=rows["language"], dropped=dropped)
