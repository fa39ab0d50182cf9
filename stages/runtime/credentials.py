"""Remove credentials from text: every error, log line and traceback goes through `without_credentials`."""

import logging
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

ADDRESSES = ("HF_ENDPOINT", "MLFLOW_TRACKING_URI", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "ENGINE_API_KEY", "ENGINE_PASSWORD")
SHORTEST = 4  # characters; shorter secrets are not searched for, because ordinary words contain them
USER = re.compile(r"(?<=://)[^/\s]*@")
QUERY = re.compile(r"(\w://[^\s?'\"]*)\?[^\s'\"]*")
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")


def without_credentials(text: str) -> str:
    """``text`` without the user names, passwords, queries and tokens of addresses in it and in the environment.

    >>> without_credentials("https://me:secret@host:5000/x?token=abc cannot be reached")
    'https://host:5000/x cannot be reached'
    """
    for found, shown in _known():
        text = text.replace(found, shown)
    return HUB_TOKEN.sub("hf_***", QUERY.sub(r"\1", USER.sub("", text)))


def _known() -> Iterator[tuple[str, str]]:
    """The environment's secrets and what replaces them; whole parts of addresses come before single secrets."""
    secrets = [os.environ.get(name, "") for name in SECRETS]
    for address in filter(None, map(os.environ.get, ADDRESSES)):
        scheme, _, rest = address.rpartition("://")
        user, _, place = rest.rpartition("@")
        host, _, path = place.partition("/")
        if user:
            yield f"{user}@", ""
            secrets += [user.partition(":")[2] or user]
        if path and scheme in ("http", "https"):  # some proxies have a token there
            yield f"{host}/{path}".rstrip("/"), host
    for secret in {*secrets, *map(unquote, secrets)}:
        if len(secret) >= SHORTEST:
            yield secret, "***"


def is_address(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether ``text`` is ``scheme://[user:password@]host[:port][/path]``, with every special character of the user percent-encoded."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in schemes
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and not re.search(r"[\s?#]", text)
            and "@" not in parts.path
        )
    except ValueError:  # a port that is not a number
        return False


def hide_in_logs() -> None:
    """Pass every log line of this process, libraries included, through `without_credentials`."""
    make = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        try:
            made.msg, made.args = without_credentials(made.getMessage()), ()
        except Exception:  # the arguments do not fit the message; the handler reports that
            return made
        return made

    logging.setLogRecordFactory(record)
