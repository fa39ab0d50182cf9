"""When a request to the Hub is worth another try, how long to wait before it, and when to give up."""

import json
import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub.utils import parse_ratelimit_headers

from stages.runtime.credentials import without_credentials

TEMPORARY_STATUS = (408, 429, 500, 502, 503, 504)
LONGEST_PAUSE = 30.0
ASKED = 5  # times ``seconds`` that a Hub may ask for: at 60 s the five minutes of its rate limits

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Incomplete(Exception):
    """An answer that lacks a part of what was requested, though the connection ended in order."""


TEMPORARY_ERRORS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, json.JSONDecodeError, Incomplete)


class Patience:
    """Waits for a server that fails: each pause is twice the last, ``seconds`` in all since the last success (`renew`).

    The time of the requests themselves does not count, so that a slow connection has as many tries as a fast one. A pause that the
    server asks for (Retry-After, or the Hub's ratelimit header) is granted as long as all pauses stay below `ASKED` times ``seconds``.
    """

    def __init__(self, seconds: float, about: str) -> None:
        self.seconds, self.about = seconds, about
        self.renew()

    def renew(self) -> None:
        """Forget the failures so far: there was progress."""
        self._waited = 0.0
        self._pause = min(1.0, self.seconds / 20)

    def attempt(self, request: Callable[[], T]) -> T:
        """The result of ``request``, which is repeated while it fails and `endure` allows."""
        while True:
            try:
                result = request()
            except Exception as error:
                self.endure(error)
            else:
                self.renew()
                return result

    def endure(self, error: Exception) -> None:
        """Wait until the next try is due. Raise ``error`` if it is not temporary, or if ``seconds`` are spent."""
        if not is_temporary(error):
            raise error
        asked = requested_pause(error)
        pause = self._pause if asked is None else max(asked, self._pause)
        if self._waited + pause > self.seconds * (1 if asked is None else ASKED):
            raise error
        logger.warning("%s: %s; trying again in %.2g s", self.about, reason(error), pause)
        time.sleep(pause)
        self._waited += pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def is_temporary(error: BaseException) -> bool:
    """Whether the next try may succeed."""
    return status(error) in TEMPORARY_STATUS or isinstance(cause(error), TEMPORARY_ERRORS)


def cause(error: BaseException) -> BaseException:
    """The failure itself: huggingface_hub's threads that upload wrap it in a RuntimeError."""
    return error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error


def status(error: BaseException) -> int | None:
    """The HTTP status of an error that has one."""
    response = getattr(cause(error), "response", None)
    return None if response is None else int(response.status_code)


def requested_pause(error: BaseException) -> float | None:
    """The seconds that the server asks to wait; None if it asks for nothing (or names a date, which the Hub never does)."""
    response = getattr(cause(error), "response", None)
    if response is None:
        return None
    after = response.headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    limit = parse_ratelimit_headers(response.headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 and status(error) == 429 else None


def reason(error: BaseException) -> str:
    """An error in a few words: its status and the pause that the server asks for, or its type and first line."""
    if code := status(error):
        asked = requested_pause(error)
        return f"the Hub answered {code}" + (f" and asks to wait {asked:.0f} s" if asked else "")
    lines = without_credentials(str(error)).strip().splitlines()
    return ": ".join([type(error).__name__, *(line[:200] for line in lines[:1])])
