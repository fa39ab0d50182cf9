"""Types of single values in params.yaml: sizes that a machine can handle, names on the Hub, paths.

Their error messages say what a value must be; `params.describe` adds the key and the value: "key: must be …, got …".
"""

import re
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from stages.config.plain import shorten


def _hub_id(value: str) -> str:
    """A copy of huggingface_hub's rules: importing that takes a second."""
    part = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"
    if not re.fullmatch(f"({part}/)?{part}", value) or len(value) > 96 or ".." in value or "--" in value or value.endswith(".git"):
        raise ValueError("must be a Hub repository (owner/name, of letters, digits, '-', '_' and '.')")
    return value


def local_path(value: str) -> str:
    """A path, existing or not. One that the file system cannot look up is refused here: later it would be a traceback."""
    try:
        mode = Path(value).expanduser().stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return value
    except RuntimeError as error:  # ~name
        raise ValueError("must begin with the home folder of a user of this machine") from error
    except OSError as error:
        raise ValueError(f"must be a path that can be looked up ({error.strerror})") from error
    if not (S_ISDIR(mode) or S_ISREG(mode)):
        raise ValueError("must be a file or a folder")
    return value


def distinct(values: list[Any]) -> list[Any]:
    if repeated := [value for place, value in enumerate(values) if value in values[:place]]:
        raise ValueError(f"must not repeat {shorten(repr(repeated[0]))}")
    return values


HubId = Annotated[str, AfterValidator(_hub_id)]
LocalPath = Annotated[str, Field(min_length=1), AfterValidator(local_path)]
Word = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=100)]
Names = Annotated[list[str], AfterValidator(distinct)]
Count = Annotated[int, Field(gt=0, le=10**9)]
Number = Annotated[int, Field(ge=0, le=10**9)]
Batch = Annotated[int, Field(gt=0, le=65_536)]
Processes = Annotated[int, Field(gt=0, le=1024)]  # also threads
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
