"""The style of the pictures. Each stage draws its own; dvc's plots would load Vega from the network."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

OURS, BASELINE = "#1b6ca8", "#c0c7ce"


def save(figure: Figure, picture: Path) -> None:
    """Write a PNG without a date or version, so that equal figures have equal bytes."""
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
