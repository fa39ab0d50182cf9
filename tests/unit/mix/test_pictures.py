"""The picture of the training data: every row of every set is in it, once, and the legend lies beside it."""

import pytest

from stages.mix.pictures import NAMED, OTHER, draw_data
from tests.drawn import drawn


@pytest.mark.parametrize(("sets", "reasons"), [(1, 0), (1, 12), (3, 3), (12, 12)])
def test_shares_add_up_and_the_legend_lies_beside_them(sets: int, reasons: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = {f"reason {number} for which a row is dropped": 100 for number in range(reasons)}
    train = {"read": 1_000_000 + 100 * reasons, "kept": 1_000_000, "dropped": dropped}
    names = [f"a-set-with-a-long-name-{number}" for number in range(sets)]
    mixed = {name: {"used": 900_000} for name in names}
    figure = drawn(monkeypatch, "stages.mix.pictures", draw_data, {name: {"train": train} for name in names}, mixed)
    [axis], [legend] = figure.axes, figure.legends
    assert sum(bar.get_width() for bar in axis.patches) == pytest.approx(100 * sets)
    assert not legend.get_window_extent().overlaps(axis.get_window_extent())
    assert not any(legend.get_window_extent().overlaps(text.get_window_extent()) for text in axis.texts)
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == 2 + min(reasons, NAMED + 1) and (f"dropped: {OTHER}" in labels) == (reasons > NAMED)
    assert f"n = {sets * train['read']:,}" in axis.get_xlabel()
