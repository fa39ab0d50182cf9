"""The files of a Hub repository: parquet shards and the card that declares them, as ``push_to_hub`` of `datasets` leaves them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, SplitDict, SplitInfo
from huggingface_hub import DatasetCardData

from tests.fakes.hub_server import LoopbackHub

Row = dict[str, Any]
Rows = Sequence[Row]
Files = dict[str, bytes]


@dataclass(frozen=True)
class Repository:
    """One commit of a repository.

    Attributes:
        revision: its id; None leaves it to the Hub, which makes it from the content.
    """

    kind: str
    id: str
    files: Mapping[str, bytes]
    branch: str = "main"
    revision: str | None = None

    def add_to(self, hub: LoopbackHub) -> str:
        """Serve it; return the revision."""
        return hub.add_repo(self.kind, self.id, self.files, self.revision, branch=self.branch)


@dataclass(frozen=True)
class TrainingSet:
    """A training set and what formatting must leave of it.

    Attributes:
        commits: of its repository, oldest first; the newest of the branch in params.yaml is the one that is pinned.
        kept: rows by split (train, dev) and language.
        read: rows of the files by split; empty where dev is drawn from train, and then ``kept`` has one entry, both.
    """

    commits: Sequence[Repository]
    kept: Mapping[str, Mapping[str, int]]
    read: Mapping[str, int] = field(default_factory=dict)


def parquet(rows: Rows, features: Features | None = None) -> bytes:
    """Rows as one parquet file."""
    buffer = io.BytesIO()
    pq.write_table(Dataset.from_list(list(rows), features=features).data.table, buffer)
    return buffer.getvalue()


def shards(folder: str, split: str, rows: Rows, count: int = 1, features: Features | None = None) -> Files:
    """Rows as at most ``count`` files ``<folder>/<split>-00000-of-0000N.parquet``, in order."""
    count = min(count, len(rows))
    size = -(-len(rows) // count)
    return {
        f"{folder}/{split}-{number:05}-of-{count:05}.parquet": parquet(rows[number * size : (number + 1) * size], features)
        for number in range(count)
    }


def repository_files(
    configs: Mapping[str, Mapping[str, Rows]],
    *,
    license: str | None = None,
    count: int = 1,
    features: Features | None = None,
    info: bool = True,
    text: str = "",
) -> Files:
    """Shards and card of a data set that was pushed from Python.

    Args:
        configs: rows by config and split. The config ``default`` is in data/, any other in a folder of its name.
        license: as the card's header names it.
        count: shards of each split.
        info: whether the card lists columns and sizes too: `datasets` then refuses a folder that lacks a split.
        text: of the card, below its header.
    """
    files: Files = {}
    header: Row = {"license": license} if license else {}
    header["configs"] = []
    infos = []
    for config, splits in configs.items():
        folder = "data" if config == "default" else config
        sizes = SplitDict()
        for split, rows in splits.items():
            made = shards(folder, split, rows, count, features)
            files |= made
            sizes.add(SplitInfo(split, num_bytes=sum(map(len, made.values())), num_examples=len(rows)))
        patterns = [{"split": split, "path": f"{folder}/{split}-*"} for split in splits]
        header["configs"].append({"config_name": config, "data_files": patterns})
        some = Dataset.from_list(list(next(iter(splits.values()))), features=features)
        about = DatasetInfo(features=some.features, config_name=config, splits=sizes)
        infos.append({"config_name": config, **about._to_yaml_dict()})
    if info:
        header["dataset_info"] = infos
    files["README.md"] = card(header, text)
    return files


def card(header: Row, text: str = "") -> bytes:
    """A README.md with a YAML header."""
    return f"---\n{DatasetCardData(**header).to_yaml()}\n---\n{text}\n".encode()
