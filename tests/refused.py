"""For tests of errors: the message must name the key and the fault, in whatever words."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stages.runtime.errors import UserError


def names(message: str, *pins: str) -> bool:
    """Whether the message holds each of the pins; "a … b" is two of them."""
    return all(pin in message for pin in " … ".join(pins).split(" … "))


@contextmanager
def refused(*pins: str) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """The block ends with a `UserError` of one line that holds each of the pins."""
    with pytest.raises(UserError) as caught:
        yield caught
    message = str(caught.value)
    assert "\n" not in message and names(message, *pins), message
