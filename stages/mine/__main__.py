"""Make data/mined/<name> from data/formatted/<name>, for each set that mining.datasets chooses: `python -m stages.mine`.

Off by default: then data/mined only says so, and mix reads the formatted rows.
"""

import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config.params import read_resolved
from stages.runtime.errors import run_stage
from stages.runtime.kept import digest, make_sets
from stages.runtime.root import place

if TYPE_CHECKING:
    from stages.mine.lexical import Lexical
    from stages.mine.teacher import Score

FORMATTED, MINED = Path("data/formatted"), Path("data/mined")
MINER, TEACHERS = Path("models/miner"), Path("models/teachers")
KEPT, SCORES = Path("checkpoints/sets/mine"), Path("checkpoints/scores")
CODE = ("mine", "rows", "retrieval", "pretrained")
SCORING = [Path(__file__).parents[1] / path for path in ("mine/teacher.py", "mine/score_cache.py", "retrieval/windows.py")]
"""The modules that a teacher's scores depend on."""


def main() -> str:
    settings = read_resolved("mine")
    names = settings.pop("datasets")
    models = digest(settings, [MINER, TEACHERS], CODE) if names else ""
    made_from = {name: digest(models, [FORMATTED / name]) for name in names}
    with tempfile.TemporaryDirectory() as work:
        load = cache(lambda: load_models(settings, Path(work)))
        made = make_sets(MINED, made_from, lambda name, folder: mine_one(name, settings, *load(), folder), place(KEPT))
    return made if names else "mining is off"


def mine_one(
    name: str, settings: Mapping[str, Any], models: list[Any], teachers: "list[tuple[Score | Lexical, float]]", folder: Path
) -> None:
    """Write the folder of one set."""
    from stages.mine.assembly import mine
    from stages.mine.judge import Judge
    from stages.mine.negatives import Rules

    report = mine(
        FORMATTED / name / "train.parquet",
        folder,
        name,
        models=models,
        rules=Rules(**{key: settings[key] for key in Rules.__annotations__}) if models else None,
        judge=Judge(teachers) if teachers else None,
        scored="teachers" in settings,
    )
    relevant = f", {report['judged_relevant']} candidates left out as relevant" if report.get("judged_relevant") else ""
    found = f"{report['negatives']} negatives mined for {report['rows']} rows, {report['without']} of which got none{relevant}"
    print(f"{name}: {found}" if models else f"{name}: {report['rows']} rows scored", flush=True)


def load_models(settings: Mapping[str, Any], work: Path) -> "tuple[list[Any], list[tuple[Score | Lexical, float]]]":
    """What finds negatives, as mine_hard_negatives takes it, and what judges them, each with its weight; either may be empty."""
    from sentence_transformers import SparseEncoder

    from stages.mine.lexical import Lexical
    from stages.mine.score_cache import cached
    from stages.mine.teacher import teacher
    from stages.mine.vectors import BM25, Encoder, RowNumbers
    from stages.retrieval.treatment import Treatment

    treatment = Treatment(**settings["treatment"]) if "treatment" in settings else None
    models: list[Any] = [RowNumbers(BM25())] if settings["method"] in ("bm25", "both") else []
    teachers: list[tuple[Score | Lexical, float]] = []
    if settings["method"] in ("model", "both"):
        model = load_model(MINER, "miner", "mining.model", settings["miner"], work / "miner")
        models.append(RowNumbers(Encoder(model, Treatment.read(MINER))) if isinstance(model, SparseEncoder) else model)
        if settings["method"] == "both" and "teachers" not in settings:
            assert treatment, "resolve writes it"
            teachers = [(teacher(model, treatment), 1.0)]
    for each in settings.get("teachers", ()):
        if "bm25" in each:
            teachers.append((Lexical(**each["bm25"]), each["weight"]))
            continue
        folder = TEACHERS / each["folder"]
        model = load_model(folder, "teacher", each["key"], each["options"], work / each["folder"])
        assert treatment, "resolve writes it"
        identity = digest([each["options"], settings["treatment"]], [folder, *SCORING])
        teachers.append((partial(cached, teacher(model, treatment), place(SCORES / f"{identity[:32]}.sqlite")), each["weight"]))
    return models, teachers


def load_model(folder: Path, role: str, key: str, options: Mapping[str, Any], work: Path) -> Any:
    """A SentenceTransformer, SparseEncoder or CrossEncoder; ``key`` of params.yaml names it in error lines."""
    from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder

    from stages.pretrained.files import CROSS_ENCODER, Use, is_sparse, kind_of, task_of
    from stages.pretrained.norbert import prepare_base
    from stages.pretrained.own_code import require_allowed_code

    require_allowed_code(folder, Use(key, "its model", task_of(folder, role), options["trust_remote_code"]))
    work.mkdir()
    crossed = role == "teacher" and kind_of(folder) == CROSS_ENCODER
    kind = CrossEncoder if crossed else SparseEncoder if is_sparse(folder) else SentenceTransformer
    return kind(str(prepare_base(folder, work)), **options, local_files_only=True)


if __name__ == "__main__":
    run_stage(main)
