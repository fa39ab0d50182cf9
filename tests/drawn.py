"""For tests of pictures: the figure that would have been saved, laid out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure


def drawn(monkeypatch: pytest.MonkeyPatch, module: str, draw: Callable[..., None], *shown: Any) -> Figure:
    """The figure that ``draw``, a function of ``module``, makes of ``shown``."""
    figures: list[Figure] = []
    monkeypatch.setattr(f"{module}.save", lambda figure, picture: figures.append(figure))
    draw(*shown, Path("not-written.png"))
    [figure] = figures
    figure.canvas.draw()
    return figure
