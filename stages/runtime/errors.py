"""Run a stage: its summary or its errors on the terminal, its exit status. Nothing printed shows a password or token.

A user's mistake is a one-line error and exit status 2; a traceback means a bug.
"""

import errno
import io
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from stages.runtime.credentials import hide_in_logs, is_address, without_credentials

MISTAKE = 2  # exit status after a `UserError`, whose message has been printed
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CANNOT_WRITE = dict.fromkeys(NO_ROOM, "make room") | {errno.EROFS: "make it writable"}
WRITE_ADDRESS = "write it as http://host:port, with special characters of a user name and password percent-encoded"


class UserError(Exception):
    """Something only the user can fix; one line per mistake: the key or file, what is wrong, what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials("\n".join(" ".join(line.split()) for line in message.splitlines())))


def require_endpoint(address: str) -> None:
    """Raise `UserError` if the Hub's address is invalid. The message does not quote it: it may contain a password."""
    if not is_address(address, ("http", "https")):
        raise UserError(f"HF_ENDPOINT: must be an http(s) address; {WRITE_ADDRESS}")


def run_stage(main: Callable[[], str | None]) -> NoReturn:
    """Run a stage's ``main``, print `<stage>: <what main returns> (<time>)` unless that is None, and exit.

    Exit status: 0; 2 for a `UserError` (one line per mistake) or a full or read-only disk; 130 for Ctrl-C (prints its message and notes);
    1 for a bug, or if nobody reads stdout any more (`| head`).
    """
    hide_in_logs()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter fails no stage
    start = time.monotonic()
    try:
        if endpoint := os.environ.get("HF_ENDPOINT"):
            require_endpoint(endpoint)  # huggingface_hub quotes part of an invalid one on import
        if summary := main():
            print(f"{_stage()}: {summary} ({duration(time.monotonic() - start)})")
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(MISTAKE)
    except KeyboardInterrupt as interrupt:
        said = [f"interrupted {interrupt}".rstrip(), *getattr(interrupt, "__notes__", [])]
        print("; ".join(said), file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and not _printed("\n"):
            sys.exit(1)
        if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
            reason, remedy = os.strerror(error.errno), CANNOT_WRITE[error.errno]
            where = error.filename or "the disk of this folder or that of temporary files (TMPDIR)"
            print(f"error: {where}: cannot be written ({reason}); {remedy} and run it again", file=sys.stderr)
            sys.exit(MISTAKE)
        print(without_credentials(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(1)
    finally:
        if not _printed(""):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would print about it at its exit
    sys.exit(0)


def _printed(text: str) -> bool:
    try:
        print(text, end="", flush=True)
    except OSError:
        return False
    return True


def _stage() -> str:
    """The running stage, as dvc.yaml calls it: `make-base` in `python -m stages.make_base`."""
    return (sys.modules["__main__"].__package__ or "").rpartition(".")[2].replace("_", "-")


def duration(seconds: float) -> str:
    """A readable duration.

    >>> [duration(0.42), duration(59.7), duration(200), duration(7500)]
    ['0.4 s', '1 min 0 s', '3 min 20 s', '2 h 5 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
