"""Fetches a model from the Hub or a local folder, and checks that the stages can use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.download.files import fetch_files
from stages.runtime.files import mark_unused


def fetch_model(
    origin: Mapping[str, Any], target: Path, architecture: str = "", max_seq_length: int | None = None, role: str | None = None
) -> None:
    """Write the folder ``target``.

    Args:
        origin: ``chosen``, and then ``key`` (names it in error lines), ``repo`` with ``revision`` or ``path``, ``trust_remote_code``.
        architecture: of a base: splade, inference-free-splade or csr. max_seq_length: its length in tokens.

        role: of the model (base, miner, teacher, compare, dense); None: the name of ``target``.

    Raises:
        UserError: the model does not exist, cannot be reached, or does not suit its role. What is downloaded is kept for the next try.
    """
    if not origin["chosen"]:
        mark_unused(target)
        return
    key, name = origin["key"], origin["repo"] or origin["path"]

    def check(folder: Path, complete: bool) -> None:
        from stages.pretrained.check import check_model, check_small_files
        from stages.pretrained.files import Use, use_as

        use = use_as(role or target.name, folder, Use(key, name, "", origin["trust_remote_code"], max_seq_length), architecture)
        (check_model if complete else check_small_files)(folder, use)

    fetch_files({"kind": "model", **origin}, target, key, "model", check)
