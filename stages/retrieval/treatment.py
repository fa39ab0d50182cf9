"""How a model's texts and vectors are treated outside the model: windows of long documents, and pruning. `retrieval.json` holds it.

The file lies in the model's folder. sentence-transformers does not read it: what the model itself returns stays one unpruned vector a
text. Whoever evaluates or indexes with the model reads the file and applies it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stages.config.fields import Count, Number
from stages.config.params import describe
from stages.config.settings import Pruning
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write

FILE = "retrieval.json"


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Treatment:
    """What is done with long documents and with vectors.

    Attributes:
        long_documents: beyond the model's length, a document is cut; or its windows' vectors are joined by element-wise maximum; or
            each window is an entry of its own, and the best one counts.
        window: tokens of a window; None: the model's length.
        overlap: tokens that a window shares with the one before it.
        max_document_dims: keep this many of an entry's largest weights; None: all.
        max_query_dims: the same for queries.
    """

    long_documents: Literal["cut", "max_vector", "max_score"] = "cut"
    window: Count | None = None
    overlap: Number = 0
    max_document_dims: Count | None = None
    max_query_dims: Count | None = None

    @classmethod
    def read(cls, folder: Path) -> "Treatment":
        """The treatment in a model's ``folder``; the default if it has none.

        Raises:
            UserError: the file is not JSON, or a key is unknown or has a wrong value.
        """
        path = folder / FILE
        if not path.is_file():
            return cls()
        try:
            return _FORM.validate_json(path.read_bytes())
        except ValidationError as error:
            raise UserError(f"{path}: {_fault(error)}") from error

    @classmethod
    def pruned(cls, folder: Path, pruning: Pruning) -> "Treatment":
        """`read`, with the pruning of this run's params.yaml, which can change without training again."""
        return replace(cls.read(folder), **pruning.model_dump())

    def write(self, folder: Path) -> None:
        """Write it into a model's ``folder``."""
        with atomic_write(folder / FILE) as temporary:
            temporary.write_bytes(self.json())

    def rules(self) -> list[str]:
        """What an index must do that the model does not do by itself, in sentences; empty for the default."""
        size = "the model's length" if self.window is None else f"{self.window} tokens"
        windows = f"Documents longer than {size} are split into windows of that length, with {self.overlap} tokens in common"
        long = {
            "max_vector": f"{windows}. The element-wise maximum of their vectors is the document's vector.",
            "max_score": f"{windows}. Each window is indexed, and a document's score is that of its best window.",
        }
        dims = {"document": self.max_document_dims, "query": self.max_query_dims}
        kept = "The {1} largest weights of a {0} are kept: `encode_{0}(…, max_active_dims={1})`."
        pruning = [kept.format(side, number) for side, number in dims.items() if number is not None]
        return [*filter(None, [long.get(self.long_documents)]), *pruning]

    def files(self) -> dict[str, bytes]:
        """What is published next to the model: the file by its name; nothing for the default."""
        return {FILE: self.json()} if self != UNTREATED else {}

    def json(self) -> bytes:
        """The content of the file."""
        return _FORM.dump_json(self, indent=2) + b"\n"


UNTREATED = Treatment()
_FORM = TypeAdapter(Treatment)


def _fault(error: ValidationError) -> str:
    """The first mistake as "key: fault; what to do"."""
    first = error.errors()[0]
    if not first["loc"]:
        return "must hold a JSON object; write the model again with `dvc repro train`"
    if first["type"] == "unexpected_keyword_argument":
        return f"{first['loc'][0]}: is not a key of this file; remove it (the keys are {', '.join(Treatment.__dataclass_fields__)})"
    return describe(first)
