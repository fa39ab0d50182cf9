"""The types of single values in params.yaml that say what a machine can do with them: sizes, names on the Hub, paths."""

import re
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from stages.config.plain import shorten


def _hub_id(value: str) -> str:
    """The Hub's own rules, which cost a second to import."""
    part = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"
    if not re.fullmatch(f"({part}/)?{part}", value) or len(value) > 96 or ".." in value or "--" in value or value.endswith(".git"):
        raise ValueError(f"{shorten(value)!r} is not a Hub repository; write it as owner/name, of letters, digits, '-', '_' and '.'")
    return value


def local_path(value: str) -> str:
    """A path of the file system, which need not exist; one that cannot even be looked up is an error here and not a traceback later."""
    try:
        mode = Path(value).expanduser().stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return value
    except RuntimeError as error:  # ~name
        raise ValueError(f"{shorten(value)!r} names the home folder of nobody; correct it") from error
    except OSError as error:
        raise ValueError(f"{shorten(value)!r} cannot be looked up ({error.strerror}); correct it") from error
    if not (S_ISDIR(mode) or S_ISREG(mode)):
        raise ValueError(f"{shorten(value)!r} is neither a file nor a folder; correct it")
    return value


def distinct(values: list[Any]) -> list[Any]:
    if twice := [value for place, value in enumerate(values) if value in values[:place]]:
        raise ValueError(f"has {shorten(str(twice[0]))} more than once; leave it there once")
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
