"""A user's mistake is one line on stderr and exit status 2; a traceback is for our bugs."""

import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(Exception):
    """Something only the user can mend, said in one line a mistake: the key or file, what is wrong, what to do."""

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(" ".join(line.split()) for line in message.splitlines()))


def run_stage(main: Callable[[], None]) -> NoReturn:
    """Run a stage's ``main`` and exit: 0 when it returns, 2 with a line for each mistake of a `UserError`, 130 for Ctrl-C."""
    try:
        main()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
