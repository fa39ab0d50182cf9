"""Make data/mined/<name> from data/formatted/<name>, for each set that mining.datasets chooses: `python -m stages.mine`.

Off by default: then data/mined only says so, and mix reads the formatted rows.
"""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config.params import read_resolved
from stages.runtime.errors import run_stage
from stages.runtime.kept import digest, make_sets
from stages.runtime.root import place

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

FORMATTED, MINED = Path("data/formatted"), Path("data/mined")
MINER, CROSS_ENCODER = Path("models/miner"), Path("models/cross-encoder")
KEPT = Path("checkpoints/sets/mine")
CODE = ("mine", "rows", "retrieval", "pretrained")


def main() -> str:
    settings = read_resolved("mine")
    names = settings.pop("datasets")
    models = digest(settings, [MINER, CROSS_ENCODER], CODE) if names else ""
    made_from = {name: digest(models, [FORMATTED / name]) for name in names}
    with tempfile.TemporaryDirectory() as work:
        load = cache(lambda: (load_miner(settings, Path(work)), load_cross_encoder(settings)))
        made = make_sets(MINED, made_from, lambda name, folder: mine_one(name, settings, load(), folder), place(KEPT))
    return made if names else "mining is off"


def mine_one(name: str, settings: Mapping[str, Any], models: "tuple[Any, CrossEncoder | None]", folder: Path) -> None:
    """Write the folder of one set."""
    from stages.mine.assembly import mine
    from stages.mine.negatives import Rules
    from stages.mine.teacher import scorer

    model, cross_encoder = models
    report = mine(
        FORMATTED / name / "train.parquet",
        folder,
        name,
        model=model,
        rules=Rules(**{key: settings[key] for key in Rules.__annotations__}) if model is not None else None,
        teacher=scorer(cross_encoder) if cross_encoder is not None else None,
        cross_encoder=cross_encoder,
    )
    print(f"{name}: {report['negatives']} negatives mined for {report['rows']} rows, {report['without']} of which got none", flush=True)


def load_miner(settings: Mapping[str, Any], work: Path) -> Any:
    """What finds negatives, as mine_hard_negatives takes it; None where none are to be found."""
    from sentence_transformers import SentenceTransformer, SparseEncoder

    from stages.mine.vectors import BM25, Encoder, RowNumbers
    from stages.pretrained.files import Use, is_sparse, task_of
    from stages.pretrained.norbert import prepare_base
    from stages.pretrained.own_code import require_allowed_code
    from stages.retrieval.treatment import Treatment

    if settings["method"] == "none":
        return None
    if settings["method"] == "bm25":
        return RowNumbers(BM25())
    require_allowed_code(MINER, Use("mining.model", "its model", task_of(MINER, "miner"), settings["miner"]["trust_remote_code"]))
    folder = prepare_base(MINER, work)
    if is_sparse(folder):
        return RowNumbers(Encoder(SparseEncoder(str(folder), **settings["miner"], local_files_only=True), Treatment.read(MINER)))
    return SentenceTransformer(str(folder), **settings["miner"], local_files_only=True)


def load_cross_encoder(settings: Mapping[str, Any]) -> "CrossEncoder | None":
    """The teacher, and judge of the margin; None if none is set."""
    from sentence_transformers import CrossEncoder

    from stages.pretrained.files import Use, task_of
    from stages.pretrained.own_code import require_allowed_code

    if "cross_encoder" not in settings:
        return None
    options = settings["cross_encoder"]
    task = task_of(CROSS_ENCODER, "cross-encoder")
    require_allowed_code(CROSS_ENCODER, Use("mining.cross_encoder", "its model", task, options["trust_remote_code"]))
    return CrossEncoder(str(CROSS_ENCODER), **options, local_files_only=True)


if __name__ == "__main__":
    run_stage(main)
