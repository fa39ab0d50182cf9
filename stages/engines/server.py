"""What the clients of servers share: waiting for one that is away, the note of what was sent, and its one-line errors."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from stages.engines.documents import Part, Texts, read_note
from stages.engines.engine import Place
from stages.retrieval.bm25 import LANGUAGES
from stages.runtime.credentials import is_address
from stages.runtime.errors import UserError
from stages.runtime.files import write_json

API_KEY, USER, PASSWORD = "ENGINE_API_KEY", "ENGINE_USER", "ENGINE_PASSWORD"
"""Environment variables with the credentials of a server."""
PATIENCE = "ENGINE_PATIENCE"
"""Environment variable: the seconds for which a server that is away is waited for, since its last answer."""
SECONDS = 60.0
SENT = "sent.json"

T = TypeVar("T")
Errors = type[Exception] | tuple[type[Exception], ...]


def require_address(address: str) -> None:
    """Raise `UserError` unless ``address`` is one of a server, without credentials, which would be kept in the index."""
    if not is_address(address, ("http", "https")) or "@" in address:
        raise UserError(
            f"--url: must be http(s)://host:port, without a user name; put credentials into {API_KEY}, or {USER} and {PASSWORD}"
        )


class Server:
    """One index on a server.

    Args:
        refused: the errors of its client; ``away`` tells those after which the request is tried again: no answer,
            or a busy server.
    """

    def __init__(self, name: str, place: Place, away: Callable[[Exception], bool], refused: Errors) -> None:
        self._name, self._place, self._away, self._refused = name, place, away, refused
        self._note = place.folder / SENT

    def ask(self, request: Callable[[], T]) -> T:
        """The answer to a request, which is repeated while the server is away.

        Raises:
            UserError: the server stays away, or refuses the request.
        """
        patience = _patience()
        waited, pause = 0.0, min(1.0, patience / 20)
        while True:
            try:
                return request()
            except self._refused as error:
                fault = " ".join(str(error).split())[:300]
                if not self._away(error):
                    raise UserError(
                        f"{self._place.address}: {self._name} refused a request ({fault}); correct that and try again"
                    ) from error
                if waited + pause > patience:
                    remedy = "start it, or correct --url; the same command resumes"
                    raise UserError(f"{self._place.address}: {self._name} does not answer ({fault}); {remedy}") from error
            if not waited:
                print(f"{self._place.address}: waiting for {self._name} ({fault})", file=sys.stderr, flush=True)
            time.sleep(pause)
            waited += pause
            pause = min(2 * pause, 10.0)

    def unsent(self, exists: bool) -> Iterator[Part]:
        """The parts that are not known to be on the server, each noted as sent once the next one is asked for; all unless it ``exists``."""
        place = {"address": self._place.address, "collection": self._place.collection}
        noted = read_note(self._note)
        done = noted.pop("parts", 0) if exists else 0
        done = done if noted == place else 0
        for part in self._place.parts():
            if part.number >= done:
                yield part
                write_json(self._note, {**place, "parts": part.number + 1})


def _patience() -> float:
    given = os.environ.get(PATIENCE, str(SECONDS))
    try:
        return max(0.0, float(given))
    except ValueError as error:
        raise UserError(f"{PATIENCE}: must be a number of seconds, got {given!r}; correct it, or unset it") from error


def stems_of(texts: Texts) -> str:
    """The language in which all of the texts can be stemmed for BM25, such as norwegian; "" if they are in several, or one is not known.

    >>> stems_of(Texts(frozenset({"nb", "nn"}), 9.0)), stems_of(Texts(frozenset({"nb", "da"}), 9.0))
    ('norwegian', '')
    """
    known = {LANGUAGES.get(language or "", "") for language in texts.languages}
    return known.pop() if len(known) == 1 else ""


def credentials() -> tuple[str | None, tuple[str, str] | None]:
    """The API key, and user name and password, if the environment has them."""
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    return os.environ.get(API_KEY) or None, (user, password) if user and password else None
