"""One progress bar a set, with the time left, while a model encodes its texts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sentence_transformers import SentenceTransformer, SparseEncoder
from torch.nn import Module
from tqdm import tqdm

FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} texts, {remaining} left"


@contextmanager
def progress(model: SparseEncoder | SentenceTransformer, name: str, texts: int) -> Iterator[None]:
    """Show a bar on a terminal that advances with every batch; sentence-transformers would show two for every chunk of documents."""
    with tqdm(total=texts, desc=f"evaluate {name}", bar_format=FORM, leave=False, dynamic_ncols=True, disable=None) as bar:

        def count(module: Module, arguments: Any, output: Any) -> None:
            encoded = len(arguments[0]["input_ids"])
            bar.total = max(bar.total, bar.n + encoded)  # windows of long documents come on top
            bar.update(encoded)

        hook = model[0].register_forward_hook(count)
        try:
            yield
        finally:
            hook.remove()
