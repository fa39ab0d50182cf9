"""Copy the pictures of the last run into docs/images, with 64 colours so that they stay small.

python docs/images/refresh.py
"""

from pathlib import Path

from PIL import Image

for picture in ("metrics/data.png", "metrics/evaluation.png", "metrics/explain.png", "models/training.png"):
    Image.open(picture).convert("RGB").quantize(64).save(Path(__file__).with_name(Path(picture).name), optimize=True)
