"""Results and metadata as mteb reads them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mteb
import pytest
from mteb.models.model_meta import ModelMeta
from ruamel.yaml import YAML
from sentence_transformers import SparseEncoder

from stages.evaluate.mteb_results import BASES, SAME_DATA, UNPUBLISHED, model_meta, rename, training_tasks
from stages.evaluate.mteb_tasks import evaluate_mteb
from stages.retrieval.mteb import retrieval_tasks
from tests import ROOT

pytestmark = pytest.mark.usefixtures("no_network")
SCANDINAVIAN = "MTEB(Scandinavian, v1)"
SCORED = ("ndcg@10", "ndcg_at_10"), ("mrr@10", "mrr_at_10"), ("recall@100", "recall_at_100")


def known(model: SparseEncoder, **settings: Any) -> ModelMeta:
    return model_meta(model, "4fb1040c1d2d26f2", **settings)


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_mteb_loads_the_results_and_the_model_that_was_scored(
    architecture: str, swedn: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(architecture)
    meta = known(model, languages=["nb", "sv"], base="ltg/norbert3-base", trained_on=["ltg/norquad"], license="Apache-2.0")
    [scored] = evaluate_mteb(model, "SwednRetrieval", swedn, meta=meta, results=tmp_path / "mteb")
    folder = tmp_path / "mteb/results/unpublished__nordic-sparse/4fb1040c1d2d26f2"
    assert {path.name for path in folder.iterdir()} == {"SwednRetrieval.json", "model_meta.json", "run_settings.jsonl"}
    assert not any(str(tmp_path) in path.read_text() for path in folder.iterdir())
    [loaded] = mteb.ResultCache(tmp_path / "mteb").load_results(tasks=mteb.get_tasks(["SwednRetrieval"]), validate_and_filter=True)
    [result] = loaded.task_results
    assert (loaded.model_name, loaded.model_revision) == (UNPUBLISHED, "4fb1040c1d2d26f2")
    assert result.dataset_revision == mteb.get_task("SwednRetrieval").metadata.revision
    assert result.get_score() == scored.metrics["ndcg@10"]
    theirs = [result.scores["test"][0][name] for _, name in SCORED]
    assert theirs == pytest.approx([scored.metrics[name] for name, _ in SCORED], abs=1e-6)

    found = loaded.model_meta
    assert found is not None and found.loader == "SparseEncoderWrapper" and found.model_type == ["sparse"]
    assert (found.languages, found.license, found.adapted_from) == (["nob-Latn", "swe-Latn"], "apache-2.0", "ltg/norbert3-base")
    assert (found.similarity_fn_name, found.framework) == (meta.similarity_fn_name, ["Sentence Transformers", "PyTorch"])
    assert (found.embed_dim, found.max_tokens) == (64 if architecture == "csr" else 23, model.max_seq_length)
    assert found.n_parameters == sum(each.numel() for each in model.parameters())
    assert set(found.training_datasets or ()) == {"NorQuadRetrieval"} and found.use_instructions is False


@pytest.mark.parametrize(
    ("trained_on", "percentage"),
    [
        (["LTG/NorQuAD"], 85),  # one of seven
        (["LTG/NorBERT3-base", "DDSC/nordic-embedding-training-data"], 100),
        (["alexandrainst/nordjylland-news-summarization", "mteb/swednretrieval"], 71),  # by mteb's own ids, in any case
        (["mteb/DanFEVER"], 85),  # similar to DanFeverRetrieval, as mteb says
        (["thivy/norbert4-base-scandinavian-embedding"], 42),  # has seen NorQuAD and Supervised-DA
        ([], 100),
        (None, None),
    ],
)
def test_the_zero_shot_mark_is_mtebs(splade: SparseEncoder, trained_on: list[str] | None, percentage: int | None) -> None:
    tasks = mteb.get_tasks(retrieval_tasks(SCANDINAVIAN))
    meta = known(splade, trained_on=trained_on)
    assert meta.zero_shot_percentage(tasks) == percentage
    assert meta.is_zero_shot_on(tasks) == (None if percentage is None else percentage == 100)


def test_scandiqa_has_the_questions_of_natural_questions(splade: SparseEncoder) -> None:
    meta = known(splade, trained_on=["alexandrainst/scandi-qa"])
    assert not meta.is_zero_shot_on(["MultilingualNanoNQRetrieval"]) and meta.is_zero_shot_on(["MultilingualNanoFEVERRetrieval"])


def test_the_tables_name_data_sets_of_params_yaml_and_tasks_of_mteb() -> None:
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    repositories: Iterable[str] = {entry.get("repo") for table in ("datasets", "models") for entry in params[table].values()}
    assert {*SAME_DATA, *BASES} <= set(repositories) and set().union(*BASES.values()) <= set(SAME_DATA)
    assert set().union(*SAME_DATA.values()) <= {task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)}
    assert set().union(*SAME_DATA.values()) <= training_tasks(SAME_DATA)


@pytest.mark.parametrize("license", [None, "norwegian-proprietary", "cc-by-9.0"])
def test_a_licence_that_mteb_does_not_know_is_left_out(splade: SparseEncoder, license: str | None) -> None:
    assert known(splade, license=license).license is None


def test_published_results_have_the_name_and_commit_of_the_hub(splade: SparseEncoder, swedn: Path, tmp_path: Path) -> None:
    meta = known(splade, name="me/a-model", trained_on=["ltg/norquad"], trust_remote_code=True)
    evaluate_mteb(splade, "SwednRetrieval", swedn, meta=meta, results=tmp_path / "mteb")
    rename(tmp_path / "mteb", tmp_path / "published", "me/a-model", "0" * 40, public=True)
    before, after = (mteb.ResultCache(tmp_path / name).load_results()[0] for name in ("mteb", "published"))
    assert (before.model_name, before.model_revision) == ("me/a-model", "4fb1040c1d2d26f2")
    assert (after.model_name, after.model_revision) == ("me/a-model", "0" * 40)
    scores = [next((tmp_path / name).rglob("SwednRetrieval.json")).read_bytes() for name in ("mteb", "published")]
    assert scores[0] == scores[1] and after.task_results[0].get_score() == before.task_results[0].get_score()
    assert after.model_meta == before.model_meta.model_copy(update={"revision": "0" * 40, "open_weights": True})
    assert after.model_meta.loader_kwargs == {"trust_remote_code": True}
