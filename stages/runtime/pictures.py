"""The style of the pictures: one width, one set of colours, small files whose bytes depend on the content alone.

Each stage draws its own; none needs the network, from which dvc's plots load Vega.
"""

from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

OURS, LIGHT, ACCENT, BASELINE, MUTED = "#1b6ca8", "#8fbfe0", "#d9730d", "#c0c7ce", "#5f6b76"
WIDTH = 8.0  # inches: in a README, 800 pixels wide, 9 points are 12 pixels
DPI, COLOURS = 120, 64  # a palette takes a third of the bytes

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.prop_cycle": plt.cycler(color=[OURS, ACCENT, MUTED, LIGHT]),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "legend.frameon": False,
    }
)


def save(figure: Figure, picture: Path) -> None:
    """Write a PNG without a date or version, so that equal figures have equal bytes."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=DPI)
    plt.close(figure)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE).save(picture, format="png", optimize=True)
