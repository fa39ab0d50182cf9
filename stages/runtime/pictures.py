"""The style of the pictures, which need no network (dvc's own plots load Vega from one). Each stage draws its own."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

OURS, BASELINE = "#1b6ca8", "#c0c7ce"


def save(figure: Figure, picture: Path) -> None:
    """Write a picture without a date or version, so that equal figures have equal bytes."""
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
