"""A user's mistake is one line on stderr and exit status 2; a traceback is for our bugs. Neither shows a password or token."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from stages.runtime.credentials import hide_in_logs, is_address, without_credentials

WRITE_ADDRESS = "write it as http://host:port, with special characters of a user name and password percent-encoded"


class UserError(Exception):
    """Something only the user can fix, said in one line a mistake: the key or file, what is wrong, what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials("\n".join(" ".join(line.split()) for line in message.splitlines())))


def require_endpoint(address: str) -> None:
    """Raise `UserError` if the Hub's address is none; it is not quoted, for it may hold a password."""
    if not is_address(address, ("http", "https")):
        raise UserError(f"HF_ENDPOINT: is not an http(s) address; {WRITE_ADDRESS}")


def run_stage(main: Callable[[], str | None]) -> NoReturn:
    """Run a stage's ``main`` and exit: 0 when it returns, 2 with a line for each mistake of a `UserError`, 130 for Ctrl-C, 1 for a bug."""
    hide_in_logs()
    try:
        if endpoint := os.environ.get("HF_ENDPOINT"):
            require_endpoint(endpoint)  # huggingface_hub quotes a part of a wrong one when it is imported
        main()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception:
        print(without_credentials(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
