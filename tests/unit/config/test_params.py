"""params.yaml: strict, one line for each mistake, and the presets behind its nulls."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import save_file

from stages.config.own_paths import own_paths
from stages.config.params import PARAMS, read_yaml, validated
from stages.config.schema import Params
from stages.config.settings import TrainSettings
from stages.resolve.__main__ import resolve
from stages.resolve.checks import check
from stages.runtime.errors import UserError
from stages.train.__main__ import decisive
from tests import ROOT
from tests.refused import names, refused

SHIPPED: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / PARAMS).read_text(encoding="utf-8"))
PROFILES = ("sample", "own", "nordic", "ecommerce")
ARCHITECTURES = ("splade", "inference-free-splade", "csr")
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def read() -> Callable[..., Params]:
    """Read the shipped params.yaml with dotted keys changed."""

    def read_with(**changes: Any) -> Params:
        values = deepcopy(SHIPPED)
        for dotted, value in changes.items():
            *path, last = dotted.split("__")
            section = values
            for key in path:
                section = section[key]
            section[last] = {"profile": "sample", **value} if path[-1:] in (["datasets"], ["sets"]) else value
        return validated(values)

    return read_with


def read_text(tmp_path: Path, pattern: str, replacement: str) -> Params:
    """Read the shipped params.yaml with its text changed, for what only YAML text can show."""
    text, count = re.subn(pattern, replacement, (ROOT / PARAMS).read_text(encoding="utf-8"), count=1, flags=re.M)
    assert count == 1, pattern
    target = tmp_path / "params.yaml"
    target.write_text(text, encoding="utf-8")
    return validated(read_yaml(target))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_profile_and_architecture_resolves_or_is_refused_by_name(read, profile, architecture):
    if (profile, architecture) == ("ecommerce", "csr"):
        with refused("model.base_model", "no value"):
            read(profile=profile, architecture=architecture)
        return
    params = read(profile=profile, architecture=architecture)
    assert set(resolve(params)) >= {"download_mteb", "mix", "train", "evaluate", "push"}


def test_an_unknown_key_of_a_teacher_names_the_nearest_known_one(read):
    with refused("mining.teachers.0.weigth", "did you mean mining.teachers.0.weight?"):
        read(mining__teachers=[{"model": "distilbert-base", "weigth": 2}])


def test_no_splade_preset_has_the_query_weight_of_the_readme_example(read):
    for profile in PROFILES:
        assert read(profile=profile, architecture="splade").loss.query_regularizer_weight != 1e-4


def test_a_value_in_params_yaml_overrides_the_preset(read):
    assert read(training__learning_rate=3e-4).training.learning_rate == 3e-4
    assert read(profile="nordic").training.learning_rate == 2e-5


@pytest.mark.parametrize("written", ["5e-5", "5E-5", "0.00005", "5.0e-05"])
def test_a_number_can_be_written_in_several_ways(tmp_path, written):
    params = read_text(tmp_path, r"^  learning_rate:$", f"  learning_rate: {written}")
    assert params.training.learning_rate == 5e-5


def test_language_no_is_norwegian_bokmal(tmp_path):
    params = read_text(tmp_path, r"    sample: nli\n    language: nb", "    sample: nli\n    language: no")
    assert params.datasets["sample-nli"].language == "nb"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"training__learning_rat": 1e-3}, "training.learning_rat … training.learning_rate?"),
        ({"profil": "sample"}, "profil … profile?"),
        ({"datasets__ddsc": {"kind": "ddsc", "repo": "a/b", "langauges": ["da"]}}, "datasets.ddsc.langauges … languages"),
        ({"profile": "nordisk"}, "profile … 'nordisk' … sample, own, nordic or ecommerce"),
        ({"architecture": "colbert"}, "architecture … 'colbert' … splade"),
        ({"training__learning_rate": {"a": 1}}, "training.learning_rate … {'a': 1}"),
        ({"training__learning_rate": "fast"}, "training.learning_rate … 'fast' … number"),
        ({"training__learning_rate": -1.0}, "training.learning_rate … -1.0 … greater than 0"),
        ({"training__learning_rate": float("nan")}, "training.learning_rate … nan"),
        ({"training__per_device_train_batch_size": True}, "training.per_device_train_batch_size … integer … true"),
        ({"training__per_device_train_batch_size": 0}, "training.per_device_train_batch_size … at least 2 … 0"),
        ({"datasets__ddsc__revision": "main"}, "datasets.ddsc.revision … 'main' … 40 hexadecimal"),
        ({"datasets__nli__profile": None}, "datasets.nli.profile … no value"),
        ({"hub__model_id": "nameonly"}, "hub.model_id … 'nameonly'"),
        ({"training": [1]}, "training … [1]"),
        ({"model__long_documents": "windows"}, "model.long_documents … 'windows' … cut, max_vector or max_score"),
        ({"model__revision": None}, "model.revision … no longer a key … `models` … model.base_model"),
        ({"model__trust_remote_code": ["a/b"]}, "model.trust_remote_code … no longer a key … `models`"),
        ({"mining__revision": "0" * 40}, "mining.revision … no longer a key … mining.model"),
        ({"mining__cross_encoder_revision": None}, "mining.cross_encoder_revision … no longer a key"),
        ({"mining__cross_encoder": "a/b"}, "mining.cross_encoder … no longer a key … mining.teachers"),
        ({"mining__teachers": [{"model": "b", "weight": 0}]}, "mining.teachers.0.weight … greater than 0 … 0"),
        ({"mining__teachers": [{"weight": 1}]}, "mining.teachers.0.model"),
        (
            {"datasets__a": {"kind": "beir", "path": "x", "passage_words": 80}},
            "datasets.a.passage_words … no longer a key … long_documents",
        ),
        ({"training__push_to_hub": True}, "training.push_to_hub … no longer a key … hub.push"),
        ({"presets__nordic__all__model__revision": None}, "presets.nordic.all.model.revision … no longer a key … `models`"),
        ({"models__b": {"repo": "a/b", "revisoin": None}}, "models.b.revisoin … models.b.revision"),
        ({"evaluation__sets__a": {"kind": "beir", "path": "x", "unknown_ids": 1.5}}, "evaluation.sets.a.unknown_ids … 1.5"),
        ({"evaluation__bm25__b": 1.2}, "evaluation.bm25.b … at most 1 … 1.2"),
        ({"evaluation__bm25__k1": -0.1}, "evaluation.bm25.k1 … at least 0 … -0.1"),
        ({"evaluation__sets__mean": {"kind": "beir", "path": "x"}}, "evaluation.sets.mean … another name"),
        ({"evaluation__sets__dev": {"kind": "beir", "path": "x"}}, "evaluation.sets.dev … another name"),
        ({"evaluation__sets__NanoBEIR_mean_dot": {"kind": "beir", "path": "x"}}, "evaluation.sets.NanoBEIR_mean_dot … another name"),
    ],
)
def test_a_mistake_is_a_one_line_error_with_key_fault_and_remedy(read, changes, line):
    with refused("params.yaml", line):
        read(**changes)


def test_two_mistakes_are_two_lines(read):
    with pytest.raises(UserError) as error:
        read(training__weight_decay=-1.0, mix__strategy="random")
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"profile": "nordic"},
            "models.norbert3-base.revision, models.multilingual-e5-small.revision, datasets.nli.revision … must be set … make pin",
        ),
        ({"datasets__sample-nli__path": "somewhere"}, "datasets.sample-nli … path and sample"),
        ({"datasets__mine": {"kind": "beir", "path": "/nowhere/at/all"}}, "datasets.mine.path … /nowhere/at/all … not exist"),
        ({"evaluation__sets__mine": {"kind": "beir", "path": "/nowhere/at/all"}}, "evaluation.sets.mine.path … not exist"),
        (
            {"evaluation__sets__mine": {"kind": "nanobeir", "benchmark": "NanoBEIR-multilingual"}},
            "evaluation.sets.mine … subset … benchmark",
        ),
        (
            {"evaluation__sets__mine": {"kind": "nanobeir", "benchmark": "NanoBEIR-multilingual", "subset": "sv", "path": "/"}},
            "evaluation.sets.mine … path and benchmark",
        ),
        (
            {"evaluation__sets__mine": {"kind": "beir", "path": "/", "max_queries": 5}},
            "evaluation.sets.mine.max_queries … null … beir … 5",
        ),
        ({"model__base_model": "./nowhere"}, "model.base_model … ./nowhere … neither an entry of models nor a folder"),
        ({"model__base_model": "ltg/norbert3-base"}, "model.base_model … norbert3-base, its name"),
        ({"model__base_model": "norbert-base"}, "model.base_model … norbert3-base?"),
        ({"model__base_model": "a/b"}, "model.base_model … b: {repo: a/b} … `make pin`"),
        ({"models__b": {"repo": "a/b", "path": "."}}, "models.b … either repo"),
        ({"models__b": {"trust_remote_code": True}}, "models.b … either repo"),
        ({"models__made": {"repo": "a/b"}}, "models.made … reserved"),
        ({"models__b": {"path": "/nowhere/at/all"}, "model__base_model": "b"}, "models.b.path … /nowhere/at/all … folder"),
        ({"models__b": {"path": "/"}, "model__base_model": "b"}, "models.b.path … no model"),
        (
            {
                "architecture": "csr",
                "model__trim_vocabulary": 2,
                "model__base_model": "b",
                "models__b": {"repo": "a/b", "revision": "0" * 40},
            },
            "model.trim_vocabulary … null for csr … 2 … splade and inference-free-splade",
        ),
        ({"architecture": "csr", "loss__query_target_active_dims": 20}, "loss.query_target_active_dims … null for csr … 20"),
        ({"architecture": "csr", "loss__target_active_dims": 200}, "loss.target_active_dims … null for csr … 200 … splade"),
        (
            {"architecture": "inference-free-splade", "loss__query_target_active_dims": 20},
            "loss.query_target_active_dims … null for inference-free-splade … 20 … splade",
        ),
        ({"evaluation__active_dims": [8]}, "evaluation.active_dims … null for splade … 8 … csr"),
        ({"model__hidden_dim": 512}, "model.hidden_dim … null for splade … 512 … csr"),
        ({"model__trim_vocabulary": 2}, "model.trim_vocabulary … null … made … got 2 … vocab_size"),
        (
            {"architecture": "csr", "training__metric_for_best_model": "eval_mean_ndcg@10"},
            "training.metric_for_best_model … null for csr … eval_mean_ndcg@10",
        ),
        ({"training__save_steps": 15}, "training.save_steps … 15 … multiple"),
        ({"architecture": "csr", "model__k": 512, "model__hidden_dim": 1024}, "model.k … 512 … quarter of model.hidden_dim"),
        (
            {"loss__target_active_dims": 200, "loss__document_regularizer_weight": 0.0},
            "loss.document_regularizer_weight … loss.target_active_dims (200)",
        ),
        (
            {"loss__query_target_active_dims": 20, "loss__query_regularizer_weight": 0.0},
            "loss.query_regularizer_weight … loss.query_target_active_dims (20)",
        ),
        ({"model__window": 129}, "model.window … at most model.max_seq_length (128) … 129"),
        ({"model__window": 64, "model__window_overlap": 33}, "model.window_overlap … half of a window (64 tokens) … 33"),
        ({"model__attn_implementation": "flash_attention_2"}, "model.attn_implementation … flash_attention_2 … float32"),
        ({"training__bf16": True, "training__fp16": True}, "training.fp16 … training.bf16"),
        ({"hub__push": True}, "hub.model_id … must be set … hub.push"),
        ({"architecture": "csr", "model__base_model": "norbert3-base"}, "model.base_model … csr … norbert3-base"),
        ({"evaluation__mteb_path": "/nowhere/at/all"}, "evaluation.mteb_path … /nowhere/at/all … folder"),
        ({"training__num_processes": 2}, "training.launcher … none"),
        ({"datasets__NLI": {"kind": "beir", "path": "/usr"}}, "datasets … nli and NLI … case"),
        ({"datasets__mine": {"kind": "beir", "path": "/usr", "key_phrases": 0}}, "datasets.mine.key_phrases … kind beir … got 0"),
        ({"datasets__mine": {"kind": "documents", "path": "/usr", "max_negatives": 2}}, "datasets.mine.max_negatives … kind documents … 2"),
        ({"datasets__mine": {"kind": "parallel", "path": "/usr"}}, "datasets.mine.languages … two … none"),
        ({"datasets__mine": {"kind": "parallel", "path": "/usr", "languages": ["da"]}}, "datasets.mine.languages … two … got da"),
        ({"datasets__mine": {"kind": "beir", "path": "."}}, "datasets.mine.path … . contains the checkout"),
        ({"datasets__mine": {"kind": "beir", "path": "/"}}, "datasets.mine.path … / contains the checkout"),
        ({"datasets__mine": {"kind": "triplets", "path": "data/formatted"}}, "datasets.mine.path … data/formatted … output"),
    ],
)
def test_what_single_values_cannot_show_is_checked_across_them(read, monkeypatch, changes, line):
    monkeypatch.chdir(ROOT)
    assert any(names(mistake, line) for mistake in check(read(**changes), {}))


def test_data_sets_without_dev_rows_choose_no_checkpoint(read, tmp_path):
    def mistakes(**changes):
        folder = {"path": str(tmp_path), "profile": "own"}
        shop = {"datasets__my-search": {"kind": "documents", **folder}, "evaluation__sets__my-search": {"kind": "beir", **folder}}
        return [*check(read(profile="own", **{**shop, **changes}), {})]

    assert mistakes() == []
    [mistake] = mistakes(architecture="csr")
    assert names(mistake, "training.eval_sets … dev … my-search … documents … name one of my-search")
    [mistake] = mistakes(training__eval_steps=50)
    assert names(mistake, "training.eval_sets … dev … documents")
    assert mistakes(architecture="csr", training__eval_sets=["my-search"]) == []
    assert mistakes(training__eval_steps=50, datasets__more={"kind": "beir", "path": str(tmp_path), "profile": "own"}) == []


def test_csr_is_refused_on_a_sparse_model_and_splade_on_a_model_without_masked_lm_head(read, tmp_path):
    sparse, headless = tmp_path / "sparse", tmp_path / "headless"
    for folder, architectures in ((sparse, ["BertForMaskedLM"]), (headless, ["BertModel"])):
        folder.mkdir()
        (folder / "config.json").write_text(f'{{"architectures": ["{architectures[0]}"]}}')
    (sparse / "modules.json").write_text('[{"type": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling"}]')
    [mistake] = check(read(architecture="csr", model__base_model=str(sparse)), {})
    assert names(mistake, "model.base_model … csr")
    [mistake] = check(read(architecture="splade", model__base_model=str(headless)), {})
    assert names(mistake, "model.base_model … masked-LM head")


CODE = '{"architectures": ["XForMaskedLM"], "auto_map": {"AutoConfig": "configuration_x.XConfig"}}'


def local_model(folder: Path, positions: int = 512) -> Path:
    """What resolve reads of a model: a configuration, and weights with a table of positions."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertForMaskedLM"]}))
    save_file({"bert.embeddings.position_embeddings.weight": np.zeros((positions, 2), np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json … valid JSON"),
        (lambda folder: (folder / "config.json").write_text(CODE), "Python code … trust_remote_code"),
    ],
)
def test_a_local_model_is_checked_before_anything_runs(read, change, line, tmp_path):
    folder = local_model(tmp_path / "model")
    (folder / "modules.json").write_text("[]")
    settings = {"mining__method": "model", "mining__model": "b", "models__b": {"path": str(folder)}}
    for asked in ({"model__base_model": str(folder)}, settings, {"mining__teachers": [{"model": str(folder)}]}):
        assert not [*check(read(**asked), {})]
    change(folder)
    for key, asked in {
        "model.base_model": {"model__base_model": str(folder)},
        "models.b": settings,
        "mining.teachers.0.model": {"mining__teachers": [{"model": str(folder)}]},
        "evaluation.dense": {"evaluation__dense": str(folder)},
    }.items():
        [mistake] = check(read(**asked), {})
        assert names(mistake, key, str(folder), line) and "\n" not in mistake


def test_a_downloaded_base_must_fit_a_changed_length_and_architecture(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"models__b": {"repo": "a/b", "revision": "0" * 40}, "model__base_model": "b"}
    folder = local_model(tmp_path / "models/base", positions=64)
    assert not [*check(read(**entry, model__max_seq_length=65), {})]  # no manifest: so nothing says which model this is
    (folder / "manifest.json").write_text(json.dumps({"repo": "a/b", "revision": "0" * 40}))
    assert not [*check(read(**entry, model__max_seq_length=64), {})]
    [mistake] = check(read(**entry, model__max_seq_length=65), {})
    assert names(mistake, "model.max_seq_length … at most 64 … a/b … models.b … 65")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    assert not [*check(read(**entry, architecture="csr", model__max_seq_length=64), {})]
    [mistake] = check(read(**entry, model__max_seq_length=64), {})
    assert names(mistake, "model.base_model … masked-LM head … BertModel")
    other = entry | {"models__b": {"repo": "a/b", "revision": "1" * 40}}
    assert not [*check(read(**other, model__max_seq_length=65), {})]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"mining__method": "model"}, "mining.model … must be set … mining.method"),
        ({"mining__method": "model", "mining__model": "multilingual-e5-small"}, "models.multilingual-e5-small.revision … must be set"),
        ({"mining__method": "model", "mining__model": "./nowhere"}, "mining.model … ./nowhere … neither an entry of models nor a folder"),
        ({"mining__teachers": [{"model": "multilingual-e5-small"}]}, "models.multilingual-e5-small.revision … must be set"),
        ({"mining__teachers": [{"model": "bm25"}] * 2}, "mining.teachers … once … bm25"),
        ({"mining__teachers": [{"model": "BM-25"}]}, "mining.teachers.0.model … BM-25 … bm25"),
        ({"models__bm25": {"path": "/"}}, "models.bm25 … reserved … mining.teachers"),
        ({"mining__datasets": ["sample-nlj"]}, "mining.datasets … sample-nlj"),
        ({"mining__negatives": 5, "mining__range_min": 97}, "mining.range_max … at least … 102"),
        ({"training__mini_batch_size": 4, "training__gradient_checkpointing": True}, "training.mini_batch_size … gradient_checkpointing"),
        ({"training__mini_batch_size": 4, "architecture": "csr"}, "training.mini_batch_size … csr"),
        ({"training__early_stopping_patience": 3}, "training.early_stopping_patience … training.eval_steps is null"),
        ({"training__eval_steps": 15}, "training.eval_steps … 15 … multiple of training.logging_steps"),
        ({"training__eval_steps": 50, "training__eval_sets": []}, "training.eval_sets … empty"),
        ({"training__eval_steps": 50, "training__eval_sets": ["nanobeir-en"]}, "training.eval_sets … nanobeir-en … evaluation set"),
        ({"training__resume": "checkpoints/none/checkpoint-5"}, "training.resume … checkpoints/none/checkpoint-5 … exist"),
        ({"training__resume": "checkpoints"}, "training.resume … checkpoint-N"),
        ({"hub__push": True, "hub__model_id": "me/m", "hub__strategy": "checkpoint", "hub__private": False}, "hub.strategy … checkpoint"),
    ],
)
def test_a_single_mistake_is_a_single_line(read, changes, line):
    [mistake] = check(read(**changes), {})
    assert names(mistake, line) and "\n" not in mistake


def test_mining_is_off_and_turned_on_for_the_sets_it_names(read):
    off = resolve(read())
    assert all(off[f"download_models/{name}"] == {"chosen": False} for name in ("base", "miner", "dense"))
    assert off["download_models/teachers"] == {} and off["mine"] == {"datasets": []}
    bm25 = resolve(read(mining__method="bm25", mining__datasets=["sample-qa", "norquad"], mining__model="a/b"))
    assert {name for name in bm25 if bm25[name] != off[name]} == {"mine"}
    assert bm25["mine"] == {  # norquad is not of this profile
        "datasets": ["sample-qa"], "method": "bm25", "negatives": 1, "relative_margin": 0.05, "range_min": 0, "range_max": 100,
    }  # fmt: skip


def test_every_stage_gets_the_model_that_its_entry_names(read, tmp_path):
    headed = tmp_path / "headed"
    headed.mkdir()
    for folder, config in ((tmp_path, {}), (headed, {"architectures": ["BertForSequenceClassification"]})):
        (folder / "config.json").write_text(json.dumps(config))
        save_file({"weight": np.zeros(1, np.float32)}, folder / "model.safetensors")
    (tmp_path / "modules.json").write_text("[]")
    pinned = {"repo": "a/b", "branch": "refs/pr/1", "revision": "0" * 40, "trust_remote_code": True}
    models = {"models__b": pinned, "models__c": {"path": str(tmp_path)}}
    params = read(
        **models,
        model__base_model="b",
        mining__method="model",
        mining__model="c",
        mining__teachers=[{"model": str(headed), "weight": 2.0}, {"model": "c"}],
        evaluation__dense="c",
    )
    assert not [*check(params, {})]
    resolved = resolve(params)
    local_name = resolved["mine"]["teachers"][0]["folder"]
    local = {"repo": None, "revision": None, "path": str(tmp_path), "trust_remote_code": False}
    assert {name.partition("/")[2]: values for name, values in resolved.items() if name.startswith("download_models/")} == {
        "base": {"chosen": True, "key": "models.b", "path": None, **{key: pinned[key] for key in pinned if key != "branch"}},
        "miner": {"chosen": True, "key": "models.c", **local},
        "teachers": {
            local_name: {"chosen": True, "key": "mining.teachers.0.model", **local, "path": str(headed)},
            "c": {"chosen": True, "key": "models.c", **local},
        },
        "compare": {"chosen": False},
        "dense": {"chosen": True, "key": "models.c", **local},
    }
    assert resolved["running/download_models/base"] == {"architecture": "splade", "max_seq_length": 128}
    assert resolved["train"]["model"].items() >= {"base_model": "b", "repo": "a/b", "revision": "0" * 40, "trust_remote_code": True}.items()
    assert resolved["evaluate"]["trust_remote_code"] is True
    mine = resolved["mine"]
    assert mine["treatment"] == {"long_documents": "max_score", "window": 128, "overlap": 25}
    assert [(teacher["weight"], teacher["options"]) for teacher in mine["teachers"]] == [(2.0, mine["miner"]), (1.0, mine["miner"])]
    assert mine["miner"] == {"trust_remote_code": False}


def test_bm25_teaches_without_a_model(read):
    params = read(mining__teachers=[{"model": "bm25", "weight": 2}, {"model": "c"}], models__c={"path": "/"}, evaluation__bm25__k1=0.9)
    resolved = resolve(params)
    assert [*resolved["download_models/teachers"]] == ["c"]
    bm25, dense = resolved["mine"]["teachers"]
    assert bm25 == {"weight": 2.0, "bm25": {"k1": 0.9}} and dense["key"] == "mining.teachers.1.model" and dense["folder"] == "c"
    alone = read(mining__teachers=[{"model": "bm25"}])
    assert not [*check(alone, {})]
    assert resolve(alone)["download_models/teachers"] == {} and "treatment" not in resolve(alone)["mine"]


def test_only_evaluation_sees_what_the_model_is_compared_with(read):
    entry = {"path": "/", "prompts": {"query": "query: "}}
    before, after = read(models__b=entry), read(models__b=entry, evaluation__dense="b", evaluation__bm25__k1=0.9)
    assert changed(before, after) == {"evaluate", "download_models/dense"}
    evaluate = resolve(after)["evaluate"]
    assert evaluate["bm25"] == {"k1": 0.9}
    assert evaluate["dense"] == {"trust_remote_code": False, "prompts": {"query": "query: ", "document": None}}
    assert resolve(before)["evaluate"]["dense"] is None


def test_the_dense_model_of_the_preset_can_be_left_out(read):
    chosen = [resolve(read(profile="nordic", **more))["download_models/dense"]["chosen"] for more in ({}, {"evaluation__dense": "none"})]
    assert chosen == [True, False]
    [mistake] = check(read(models__none={"path": "/"}), {})
    assert names(mistake, "models.none … reserved … evaluation.dense")


def test_the_miner_gets_the_prompts_of_its_entry(read):
    entry = {"path": "/", "prompts": {"query": "query: "}}
    mined = resolve(read(models__b=entry, mining__method="model", mining__model="b"))["mine"]
    assert mined["miner"] == {"trust_remote_code": False, "prompts": {"query": "query: "}}


def test_distillation_requires_scores_of_mix(read):
    assert [resolve(read(loss__distillation=kind))["mix"]["scored"] for kind in ("none", "margin_mse", "kl")] == [False, True, True]
    assert [resolve(read(loss__distillation=kind))["mix"]["own_negatives"] for kind in ("none", "kl")] == [False, True]
    assert resolve(read(loss__hard_negatives="own"))["mix"]["own_negatives"]
    several = [resolve(read(mining__method="bm25", mining__negatives=number))["train"]["loss"]["hard_negatives"] for number in (1, 2)]
    assert several == ["batch", "own"]
    assert not resolve(read(loss__distillation="kl", loss__hard_negatives="batch"))["mix"]["own_negatives"]
    alone = resolve(read(loss__distillation="kl", loss__contrastive_weight=0.0))["mix"]
    assert alone["scored"] and not alone["contrasted"] and resolve(read())["mix"]["contrasted"]


def test_a_push_is_refused_inside_dvc_exp_run(read):
    params = read(hub__push=True, hub__model_id="me/model")
    assert list(check(params, {})) == []
    [mistake] = check(params, {"DVC_EXP_NAME": "odd-name"})
    assert names(mistake, "hub.push … `dvc exp run`")


def test_pruning_changes_what_is_evaluated_and_published_and_not_the_training(read):
    before, after = resolve(read()), resolve(read(model__max_document_dims=120, model__max_query_dims=8))
    assert {stage for stage in after if after[stage] != before[stage]} == {"evaluate", "push"}
    assert after["evaluate"]["pruning"] == after["push"]["pruning"] == {"max_document_dims": 120, "max_query_dims": 8}


def test_a_value_of_another_architecture_changes_no_stage(read):
    before = resolve(read(architecture="splade"))
    assert resolve(read(architecture="splade", model__k=7, loss__similarity_weight=3.0)) == before


def test_a_set_is_used_by_its_profile_alone(read):
    assert "nli" not in resolve(read())["download"] and "nli" in resolve(read(datasets__nli__profile="sample"))["download"]
    assert resolve(read(**{"datasets__sample-nli__profile": "none"}))["mix"]["datasets"].keys() == {
        "sample-qa",
        "sample-ddsc",
        "sample-esci",
    }
    assert "mine" in resolve(read(datasets__mine={"kind": "beir", "path": "/"}))["mix"]["datasets"]


def changed(before: Params, after: Params) -> set[str]:
    """Stages that see another value."""
    old, new = resolve(before), resolve(after)
    return {stage for stage in old if old[stage] != new[stage]}


def test_an_mteb_task_reruns_its_download_mixing_and_evaluation_only(read):
    before = read(evaluation__mteb=["NorQuadRetrieval"])
    assert changed(read(), before) == {"download_mteb", "mix", "evaluate"}
    hub = {"hub__push": True, "hub__model_id": "me/model", "hub__license": "mit"}
    assert changed(before, read(evaluation__mteb=["NorQuadRetrieval"], **hub)) == {"push", "running/evaluate"}


def test_mteb_is_told_where_the_training_data_is_from_unless_some_of_it_is_local(read):
    about = resolve(read(profile="nordic"))["evaluate"]["about"]
    assert about["base"] == "ltg/norbert3-base" and about["languages"] == ["da", "nb", "nn", "sv"]
    assert {"ltg/norbert3-base", "ltg/norquad", "DDSC/nordic-embedding-training-data"} <= set(about["trained_on"])
    mteb = {"evaluation__mteb": ["NorQuadRetrieval"]}
    assert resolve(read(**mteb))["evaluate"]["about"] == {"languages": ["da", "nb", "nn", "sv"], "base": None, "trained_on": []}
    assert resolve(read(datasets__mine={"kind": "beir", "path": "/"}, **mteb))["evaluate"]["about"]["trained_on"] is None
    assert resolve(read(**mteb, model__base_model="/"))["evaluate"]["about"]["trained_on"] is None
    assert resolve(read())["evaluate"]["about"] is None


def test_the_folders_of_a_benchmarks_tasks_are_one_path(read, tmp_path):
    tasks = {"evaluation__mteb": ["MTEB(Scandinavian, v1)", "SciFact"], "evaluation__mteb_path": str(tmp_path)}
    (tmp_path / "SciFact").mkdir()
    assert own_paths(read(**tasks)) == {"evaluation.mteb_path (SciFact)": tmp_path / "SciFact", "evaluation.mteb_path": tmp_path}


def test_the_mix_reruns_neither_download_nor_format(read):
    for change in ({"mix__strategy": "proportional"}, {"mix__stopping": "first_exhausted"}, {"datasets__sample-qa__max_rows": 100}):
        assert changed(read(), read(**change)) == {"mix"}


def test_a_new_data_set_changes_the_entries_of_no_other(read):
    before, after = resolve(read()), resolve(read(datasets__mine={"kind": "beir", "path": "/"}))
    assert {name for name in after if after[name] != before[name]} == {"download", "format", "mix", "push"}
    for stage in ("download", "format"):
        assert before[stage] == {name: entry for name, entry in after[stage].items() if name != "mine"}


def test_what_a_set_reads_of_its_files_is_known_to_the_stage_that_reads_them(read):
    of_mine = {}
    for option in ({}, {"max_negatives": 8}, {"files": ["da/*"]}):
        stages = resolve(read(datasets__mine={"kind": "scored", "path": "/", **option}))
        of_mine[tuple(option)] = {stage: stages[stage]["mine"] for stage in ("download", "format")}
    plain = of_mine[()]
    assert of_mine["max_negatives",] == plain | {"format": plain["format"] | {"max_negatives": 8}}
    assert of_mine["files",] == plain | {"download": plain["download"] | {"files": ["da/*"]}}


def test_nanobeir_in_norwegian_and_swedish_is_scored_under_the_nordic_profile(read):
    stages = resolve(read(profile="nordic"))
    assert set(stages["download_eval"]) == {"nanobeir-no", "nanobeir-sv"}
    assert stages["download_eval"]["nanobeir-no"]["subset"] == "no"
    assert stages["evaluate"]["sets"]["nanobeir-no"] == {"kind": "nanobeir", "language": "nb", "split": None}
    assert set(stages["mix"]["evaluation_sets"]) == {"nanobeir-no", "nanobeir-sv"}


def test_the_shop_of_escis_profile_is_its_held_out_queries(read):
    stages = resolve(read(profile="ecommerce"))
    scored = {"kind": "esci", "language": "en", "split": "test", "locale": "us", "max_queries": 2000}
    assert stages["evaluate"]["sets"]["esci"] == stages["mix"]["evaluation_sets"]["esci"] == scored
    shorter = resolve(read(profile="ecommerce", evaluation__sets__esci__max_tokens=100))
    assert shorter["evaluate"]["sets"]["esci"] == {**scored, "max_tokens": 100}
    assert stages["evaluate"]["bm25"] == {"k1": 0.3, "b": 0.6} and resolve(read())["evaluate"]["bm25"] == {}
    with_foreign_key = read(evaluation__sets__sample__locale="us")
    assert changed(read(), with_foreign_key) == set()


def test_a_model_to_compare_with_reruns_its_download_and_evaluation_only(read):
    pinned = {"repo": "a/b", "revision": "0" * 40, "trust_remote_code": True}
    without, compared = read(models__b=pinned), read(models__b=pinned, evaluation__compare_model="b")
    assert changed(without, compared) == {"download_models/compare", "evaluate"}
    assert resolve(compared)["evaluate"]["compare"] == {"trust_remote_code": True}
    [mistake] = check(read(evaluation__compare_model="./nowhere"), {})
    assert names(mistake, "evaluation.compare_model … ./nowhere … neither")


def test_only_a_sparse_model_is_compared_with(read, tmp_path):
    [mistake] = check(read(evaluation__compare_model=str(local_model(tmp_path / "model"))), {})
    assert names(mistake, "evaluation.compare_model … not a sparse model")


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("evaluation.dense", {"evaluation__dense": "b"}),
        ("evaluation.compare_model", {"evaluation__compare_model": "b"}),
        ("mining.model", {"mining__method": "both", "mining__model": "b"}),
        ("mining.teachers.0.model", {"mining__teachers": [{"model": "b"}]}),
    ],
)
def test_a_masked_language_model_gives_no_vectors_to_compare_or_learn_from(read, key, changes):
    pinned = {"repo": "ltg/norbert3-base", "revision": "0" * 40, "trust_remote_code": True}
    [mistake] = check(read(models__b=pinned, **changes), {})
    assert names(mistake, f"{key} … b … masked language model … name a")


@pytest.mark.parametrize(
    ("key", "changes"),
    [("evaluation.dense", {}), ("model.base_model", {"architecture": "csr"}), ("mining.model", {"mining__method": "model"})],
)
def test_a_local_masked_language_model_makes_no_sentence_vectors(read, key, changes, tmp_path):
    folder = local_model(tmp_path / "model")
    named = {key.replace(".", "__"): str(folder), **changes}
    [mistake] = check(read(**named), {})
    assert names(mistake, f"{key} … {folder} … masked language model … dense")
    (folder / "modules.json").write_text("[]")
    assert not [*check(read(**named), {})]


@pytest.mark.parametrize("base", ["mmbert-small", "mmbert-base", "xlm-roberta-base"])
@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade"])
def test_one_model_for_all_nordic_languages_needs_only_another_base_and_its_trimming(read, base, architecture, monkeypatch):
    monkeypatch.chdir(ROOT)
    params = read(profile="nordic", architecture=architecture, model__base_model=base, model__trim_vocabulary=1)
    assert not [mistake for mistake in check(params, {}) if "must be set, as only pinned" not in mistake]
    assert {"nb", "nn", "da", "sv"} <= set(resolve(params)["push"]["languages"])


def test_a_licence_is_for_the_push_alone(read):
    entry = {"kind": "beir", "path": "/"}
    assert changed(read(datasets__mine=entry), read(datasets__mine={**entry, "license": "cc-by-nc-4.0"})) == {"push"}
    assert resolve(read(datasets__mine={**entry, "license": "mit"}))["push"]["datasets"]["mine"]["license"] == "mit"


def test_the_profile_for_own_data_takes_nothing_of_the_sample(read):
    stages = resolve(read(profile="own"))
    assert set(stages["download"]) == set(stages["download_eval"]) == {"my-search"}
    assert stages["train"]["model"]["base_model"] == "made" and not stages["evaluate"]["mteb"]


def test_the_digest_of_a_path_is_next_to_it_and_nowhere_else(read, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "NorQuadRetrieval").mkdir()
    paths = {"datasets__my-search__path": str(tmp_path), "evaluation__sets__my-search__path": str(tmp_path)}
    models = {"model__base_model": str(tmp_path), "mining__method": "model", "mining__model": str(tmp_path)}
    tasks = {"evaluation__mteb": ["NorQuadRetrieval"], "evaluation__mteb_path": str(tmp_path)}
    params = read(profile="own", mining__teachers=[{"model": str(tmp_path)}], evaluation__dense=str(tmp_path), **paths, **models, **tasks)
    keys = own_paths(params)
    assert keys["evaluation.mteb_path (NorQuadRetrieval)"] == tmp_path / "NorQuadRetrieval"
    before, after = resolve(params, dict.fromkeys(keys, "a")), resolve(params, dict.fromkeys(keys, "b"))
    assert {stage for stage in before if before[stage] != after[stage]} == {
        "download", "download_eval", "download_mteb",
        "download_models/base", "download_models/miner", "download_models/teachers", "download_models/dense",
    }  # fmt: skip
    assert before["download"]["my-search"]["digest"] == before["download_eval"]["my-search"]["digest"] == "a"
    assert before["download_mteb"]["digests"] == ["a"]
    assert [before[f"download_models/{name}"]["digest"] for name in ("base", "miner", "dense")] == ["a"] * 3
    assert [teacher["digest"] for teacher in before["download_models/teachers"].values()] == ["a"]
    assert own_paths(read()) == {}
    assert "digest" not in str(resolve(read())).replace("'digests': []", "")


def test_stages_and_reserved_words_of_yaml_are_names_like_others(read, monkeypatch):
    entry = {"kind": "beir", "path": "/usr"}
    params = read(
        **{f"{table}__{name}": entry for table in ("datasets", "evaluation__sets") for name in ("mine", "mix", "no", "sample-mix")}
    )
    assert not [*check(params, {})]
    assert {"mine", "mix", "no"} <= set(resolve(params)["download"])


@pytest.mark.parametrize("name", ["null", "true", "2024"])
def test_a_name_that_yaml_reads_as_something_else_is_refused(tmp_path, name):
    with refused("datasets.", "the key must be a string", "quotes"):
        read_text(tmp_path, r"^  sample-nli:", f"  {name}:")


def test_every_relative_path_starts_at_the_checkout_that_dvc_was_started_in(read, tmp_path, monkeypatch):
    checkout, copy = tmp_path / "checkout", tmp_path / "checkout/.dvc/tmp/exps/copy"
    for folder in ("checkout/tasks", "checkout/run/checkpoint-2", "my-search", "checkout/.dvc/tmp/exps/copy"):
        (tmp_path / folder).mkdir(parents=True)
    (local_model(checkout / "model") / "modules.json").write_text("[]")
    (checkout / "run" / "checkpoint-2" / "trainer_state.json").write_text('{"global_step": 2}')
    monkeypatch.chdir(copy)
    params = read(
        profile="own", evaluation__mteb_path="tasks", model__base_model="model", mining__method="model", mining__model="model",
        mining__teachers=[{"model": "model"}], training__resume="run/checkpoint-2",
    )  # fmt: skip
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert len({mistake.partition(": ")[0] for mistake in check(params, {})}) == 7
    monkeypatch.setenv("DVC_ROOT", str(checkout))
    assert not [*check(params, {})]


def test_broken_yaml_is_a_one_line_error(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: [1\nmodel: }")
    with refused("params.yaml", "YAML"):
        validated(read_yaml(tmp_path / "params.yaml"))


def test_only_the_stages_that_choose_a_checkpoint_see_its_settings_and_only_if_it_is_chosen(read) -> None:
    off = resolve(read())
    assert off["train"]["validation"] is None and off["validation"] == {"dev": [], "sets": {}}
    unused = resolve(read(training__eval_sets=["sample"], training__metric_for_best_model="eval_mean_ndcg@10"))
    assert unused == off
    on = resolve(read(training__eval_steps=50, training__eval_sets=["dev", "sample"], training__early_stopping_patience=3))
    assert on["train"]["validation"] == {
        "eval_steps": 50,
        "eval_sets": ["dev", "sample"],
        "metric_for_best_model": None,
        "early_stopping_patience": 3,
        "per_device_eval_batch_size": 64,
        "languages": ["da", "nb", "nn", "sv"],
    }
    assert on["validation"]["dev"] == ["sample-nli", "sample-qa", "sample-ddsc", "sample-esci"]
    assert on["validation"]["sets"] == {"sample": {"kind": "nanobeir", "language": None, "split": None}}
    changed = {stage for stage in on if on[stage] != off[stage]}
    assert changed == {"train", "validation"}


def test_a_checkpoint_belongs_to_every_value_that_decides_the_result(read) -> None:
    def settings(**changes: Any) -> dict[str, Any]:
        resolved = resolve(read(**changes))
        return decisive(TrainSettings.model_validate(resolved["train"] | resolved["running/train"]))

    shipped = settings()
    for changes in (
        {"seed": 1}, {"training__learning_rate": 2e-3}, {"training__weight_decay": 0.1}, {"training__save_steps": 50},
        {"training__gradient_accumulation_steps": 2}, {"loss__query_regularizer_weight": 0.0}, {"model__max_seq_length": 64},
        {"training__eval_steps": 50}, {"architecture": "csr"},
    ):  # fmt: skip
        assert settings(**changes) != shipped, changes
    evaluated = settings(training__eval_steps=50)
    assert settings(training__eval_steps=50, training__early_stopping_patience=2) != evaluated
    for changes in (
        {"training__resume": False}, {"training__save_total_limit": 5}, {"tracking__mlflow": False}, {"training__launcher": "torchrun"},
        {"training__dataloader_num_workers": 2}, {"training__dataloader_pin_memory": False},
        {"training__device": "cpu"}, {"training__triton": False},  # resolved ones are part of the fingerprint
    ):  # fmt: skip
        assert settings(**changes) == shipped, changes
    assert settings(hub__push=True, hub__model_id="me/model", hub__strategy="checkpoint") == shipped


def test_settings_that_do_not_change_the_model_do_not_retrain_it(read) -> None:
    watched = lambda **changes: resolve(read(**changes))["train"]  # noqa: E731
    for changes in ({"resume": False}, {"save_total_limit": 5}, {"launcher": "torchrun"}, {"dataloader_num_workers": 2}):
        assert watched(**{f"training__{key}": value for key, value in changes.items()}) == watched(), changes
    assert watched(training__num_threads=1) != watched()


def test_a_missing_device_is_refused_before_anything_is_deleted(read, monkeypatch) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert any(names(mistake, "training.device … mps … auto or cpu") for mistake in check(read(training__device="mps"), {}))
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert not [mistake for mistake in check(read(training__device="mps"), {}) if "device" in mistake]


def test_uploading_checkpoints_concerns_training_without_rerunning_it(read) -> None:
    hub = {"hub__push": True, "hub__model_id": "me/model"}
    assert resolve(read(**hub))["running/train"]["upload"] is None
    wanted = read(**hub, hub__strategy="checkpoint")
    assert resolve(wanted)["running/train"]["upload"] == {"model_id": "me/model"}
    assert resolve(wanted)["train"] == resolve(read(**hub))["train"]


def test_a_batch_grows_with_the_processes_only_if_they_gather(read) -> None:
    processes = {"training__launcher": "torchrun", "training__num_processes": 4}
    assert resolve(read(**processes))["mix"]["batch_size"] == 32
    assert resolve(read(**processes, training__gather_negatives=True))["mix"]["batch_size"] == 128


def test_gradcache_in_several_processes_needs_their_texts_gathered(read) -> None:
    processes = {"training__launcher": "torchrun", "training__num_processes": 2, "training__mini_batch_size": 8}
    [mistake] = check(read(**processes), {})
    assert names(mistake, "training.mini_batch_size … process")
    assert not [*check(read(**processes, training__gather_negatives=True), {})]


def test_the_share_of_unknown_ids_goes_where_sets_are_read_and_only_if_it_is_given(read):
    entry = {"kind": "beir", "path": "somewhere", "split": "test"}
    resolved = resolve(
        read(evaluation__sets__a=entry | {"unknown_ids": 0.5}, evaluation__sets__b=entry, datasets__c=entry | {"unknown_ids": 0.5})
    )
    for stage, key in (("mix", "evaluation_sets"), ("evaluate", "sets")):
        assert resolved[stage][key]["a"]["unknown_ids"] == 0.5
        assert "unknown_ids" not in resolved[stage][key]["b"]
    assert resolved["format"]["c"]["unknown_ids"] == 0.5


def test_trimming_a_base_makes_one_and_trains_on_it(read):
    base = {"models__b": {"repo": "org/base", "revision": "0" * 40}, "model__base_model": "b", "model__prompts__query": "q: "}
    before, trimmed = read(**base), read(**base, model__trim_vocabulary=2)
    assert changed(before, trimmed) == {"make_base", "train"}
    wanted = {"name": "org/base", "trust_remote_code": False, "smallest_count": 2, "prompts": {"query": "q: "}}
    assert resolve(trimmed)["make_base"]["trimmed"] == wanted
