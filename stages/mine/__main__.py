"""Make data/mined/<profile>/<name> from data/formatted/<profile>/<name>: `python -m stages.mine PROFILE NAME`.

Off by default: then the folder only says so, and mix reads the formatted rows themselves.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config.params import read_resolved
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import mark_unused

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

FORMATTED, MINED = Path("data/formatted"), Path("data/mined")
MINER, CROSS_ENCODER = Path("models/miner"), Path("models/cross-encoder")


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        raise UserError("usage: python -m stages.mine PROFILE NAME")
    profile, name = arguments
    settings, formatted, mined = read_resolved(f"mine/{name}"), FORMATTED / profile / name, MINED / profile / name
    if not settings["chosen"]:
        mark_unused(mined)
        return

    from stages.mine.assembly import mine
    from stages.mine.negatives import Rules
    from stages.mine.teacher import scorer

    with tempfile.TemporaryDirectory() as work:
        model = load_miner(settings, Path(work))
        cross_encoder = load_cross_encoder(settings["cross_encoder"]) if "cross_encoder" in settings else None
        report = mine(
            formatted / "train.parquet",
            mined,
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

    if settings["method"] == "none":
        return None
    if settings["method"] == "bm25":
        return RowNumbers(BM25())
    require_allowed_code(MINER, Use("mining.model", "its model", task_of(MINER, "miner"), settings["miner"]["trust_remote_code"]))
    folder = prepare_base(MINER, work)
    if is_sparse(folder):
        return RowNumbers(Encoder(SparseEncoder(str(folder), **settings["miner"], local_files_only=True)))
    return SentenceTransformer(str(folder), **settings["miner"], local_files_only=True)


def load_cross_encoder(options: Mapping[str, Any]) -> "CrossEncoder":
    """The teacher, and judge of the margin."""
    from sentence_transformers import CrossEncoder

    from stages.pretrained.files import Use, task_of
    from stages.pretrained.own_code import require_allowed_code

    task = task_of(CROSS_ENCODER, "cross-encoder")
    require_allowed_code(CROSS_ENCODER, Use("mining.cross_encoder", "its model", task, options["trust_remote_code"]))
    return CrossEncoder(str(CROSS_ENCODER), **options, local_files_only=True)


if __name__ == "__main__":
    run_stage(lambda: main(sys.argv[1:]))
