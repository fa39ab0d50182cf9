"""When a request to the Hub is worth another try, how long to wait before it, and when to give up."""

import json
import logging
import time

import httpx2
from huggingface_hub.utils import parse_ratelimit_headers

from stages.runtime.credentials import without_credentials

PASSING_STATUS = (408, 429, 500, 502, 503, 504)
LONGEST_PAUSE = 30.0
ASKED = 5  # times the patience that a Hub may ask for: at 60 s the five minutes of its rate limits

logger = logging.getLogger(__name__)


class Incomplete(Exception):
    """An answer that is not all of what was asked for, though the connection says that it is."""


PASSING_ERRORS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, json.JSONDecodeError, Incomplete)


class Patience:
    """Bears with a server that fails: pauses, each twice the last, of ``seconds`` together; `renew` when it got on in the meantime.

    What the requests themselves take is not counted, so that a slow connection has as many tries as a fast one. Where
    the server itself asks for a pause (Retry-After, or the Hub's ratelimit header) it is granted, as long as all pauses
    together stay below `ASKED` times ``seconds``.
    """

    def __init__(self, seconds: float, about: str) -> None:
        self.seconds, self.about = seconds, about
        self.renew()

    def renew(self) -> None:
        """Forget the failures so far: there was progress."""
        self._waited = 0.0
        self._pause = min(1.0, self.seconds / 20)

    def endure(self, error: Exception) -> None:
        """Wait until the next try is due, or raise ``error``: it does not pass by itself, or patience is at its end."""
        if not passes(error):
            raise error
        asked = requested_pause(error)
        pause = self._pause if asked is None else max(asked, self._pause)
        if self._waited + pause > self.seconds * (1 if asked is None else ASKED):
            raise error
        logger.warning("%s: %s; trying again in %.2g s", self.about, reason(error), pause)
        time.sleep(pause)
        self._waited += pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def passes(error: BaseException) -> bool:
    """Whether an error may be gone at the next try."""
    return status(error) in PASSING_STATUS or isinstance(error, PASSING_ERRORS)


def status(error: BaseException) -> int | None:
    """The HTTP status of an error that has one."""
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def requested_pause(error: BaseException) -> float | None:
    """The seconds that the server asks to wait; None where it says nothing (or names a date, as the Hub never does)."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    after = response.headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    limit = parse_ratelimit_headers(response.headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 and status(error) == 429 else None


def reason(error: BaseException) -> str:
    """An error in a few words, without what a server wrote over several lines."""
    code = status(error)
    if code is not None:
        return f"the Hub answered {code}"
    lines = without_credentials(str(error)).strip().splitlines()
    return ": ".join([type(error).__name__, *(line[:200] for line in lines[:1])])
