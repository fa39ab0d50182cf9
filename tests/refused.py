"""How a test pins an error: by the key that the message names and by the fault, whatever sentence they stand in."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stages.runtime.errors import UserError


@contextmanager
def refused(*parts: str) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """The block ends with a `UserError` of one line that holds each of ``parts``."""
    with pytest.raises(UserError) as caught:
        yield caught
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message
