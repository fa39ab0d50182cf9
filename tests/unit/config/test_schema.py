"""Every key of params.yaml with every kind of wrong value: one line that names the key, or a value that is really usable."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
from ruamel.yaml import YAML

from stages.config.params import PARAMS, read_yaml, validated
from stages.config.schema import Params, Section
from stages.resolve.__main__ import overrides, resolve
from stages.resolve.checks import check
from stages.runtime.errors import UserError
from tests import ROOT

SHIPPED: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / PARAMS).read_text(encoding="utf-8"))
ALIKE = 3  # entries of a table that are tried: the others have the same keys
NEVER = {  # of no use to any key
    "23 digits": 10**22 + 1,
    "negative, 23 digits": -(10**22),
    "nan": float("nan"),
    "inf": float("inf"),
    "5,000 characters": "x" * 5000,
    "path of 5,000 characters": "a/" * 2500,
    "control character": "a\x07b",
    "NUL": "/tmp/a\x00b",
    "half a character": "\ud800",
    "interpolation": "${seed}",
    "interpolation within": "a/${training.seed}/b",
    "bytes": b"abc",
}
SOMETIMES = {
    "null": None, "true": True, "one": 1, "negative": -1, "a billion": 10**9, "1e18": 10**18, "half": 0.5, "1e300": 1e300,
    "empty": "", "blank": "  ", "word": "word", "300 characters": "x" * 300, "Danish": "æøå ?", "line break": "a\nb",
    "absolute path": "/proc/self/mem",
    "list": [], "list of numbers": [1], "list of words": ["x", "x"], "list of nulls": [None], "mapping": {}, "mapping of numbers": {"a": 1},
}  # fmt: skip


def keys(values: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key below, sections too."""
    for name, value in list(values.items())[: ALIKE if above in (("datasets",), ("models",), ("evaluation", "sets")) else None]:
        yield (*above, name)
        if isinstance(value, dict):
            yield from keys(value, (*above, name))


def changed(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**values, first: changed(values[first], tuple(rest), value) if rest else value}


def defaults(section: type[Section], values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every key but those of the tables of entries, with its value in ``values`` and its default in the schema."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from defaults(kind, values[name], f"{above}{name}.")
        elif not field.is_required() and get_origin(kind) is not dict:
            yield f"{above}{name}", values[name], field.default


def test_params_yaml_shows_every_default() -> None:
    """resolved/overrides.yaml, and so `dvc exp show`, has what differs from the defaults: nothing of params.yaml as shipped."""
    hidden = [key for key, shown, default in defaults(Params, SHIPPED) if shown != default and (shown, default) != (None, [])]
    assert hidden == [] and overrides(SHIPPED) == {}


def refusal(values: dict[str, Any]) -> str | None:
    """The error that ``values`` cause; None if they are accepted, and then every stage's part can be written."""
    try:
        params = validated(values)
    except UserError as error:
        return str(error)
    if mistakes := list(check(params, {})):
        return "\n".join(f"params.yaml: {mistake}" for mistake in mistakes)
    json.dumps(resolve(params), allow_nan=False).encode()
    return None


@pytest.mark.parametrize("kind", [*NEVER, *SOMETIMES])
def test_a_wrong_value_is_a_one_line_error_that_names_its_key(kind: str) -> None:
    value = (NEVER | SOMETIMES)[kind]
    for path in keys(SHIPPED):
        shipped = {**SHIPPED, "architecture": "csr" if path[0] in ("model", "loss") else "splade"}
        said = refusal(changed(shipped, path, value))
        if said is None:
            assert kind in SOMETIMES, f"{'.'.join(path)} accepts {kind}"
            continue
        for line in said.splitlines():
            assert line.startswith("params.yaml: ") and (": must " in line or "; " in line) and len(line) < 800, line
        if path[0] != "presets":
            assert path[-1] in said or path[-2] in said or "no entry has profile" in said, f"{'.'.join(path)} with {kind}: {said}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.num_threads", 10**9), ("training.dataloader_num_workers", 10**9), ("training.num_processes", 10**9),
        ("training.per_device_train_batch_size", 10**9), ("training.mini_batch_size", 10**9),
        ("evaluation.per_device_eval_batch_size", 10**9),
        ("model.max_seq_length", 10**9), ("model.made.vocab_size", 10**9), ("model.made.hidden_size", 10**9),
        ("model.made.num_hidden_layers", 10**9), ("training.num_train_epochs", 1e300), ("loss.document_regularizer_weight", 1e300),
        ("mining.range_max", 10**9), ("evaluation.mteb", ["SNLRetrieval", "SNLRetrieval"]), ("training.eval_sets", ["dev", "dev"]),
        ("hub.model_id", "me"), ("hub.model_id", "me/a--b"), ("hub.model_id", "me/æ"), ("hub.license", ""), ("tracking.experiment", " "),
        ("datasets.nli.repo", "a/b/c"), ("datasets.nli.repo", "https://huggingface.co/a/b"), ("datasets.sample-nli.sample", "nlj"),
        ("evaluation.sets.sample.sample", "nli"), ("datasets.sample-nli.split", "../x"), ("datasets.sample-qa.languages", []),
        ("evaluation.mteb_path", ""), ("training.resume", "x" * 300), ("model.base_model", "x" * 300), ("mining.model", "/dev/null"),
        ("training.metric_for_best_model", "loss"),
    ],
)  # fmt: skip
def test_what_no_machine_has_and_what_would_break_later_is_refused(key: str, value: Any) -> None:
    said = refusal(changed(SHIPPED, tuple(key.split(".")), value))
    assert said and "\n" not in said and said.startswith(f"params.yaml: {key}: "), said


@pytest.mark.parametrize(
    ("presets", "key"),
    [
        ([1], "presets"), ("x", "presets"), ({"sample": [1]}, "presets.sample"), ({"sample": {"all": 3}}, "presets.sample.all"),
        ({"sample": {"all": {"model": "made"}}}, "presets.sample.all.model"), ({"sampel": {}}, "presets.sampel"),
        ({"sample": {"spalde": {}}}, "presets.sample.spalde"), ({"sample": {"all": {"profile": "own"}}}, "presets.sample.all.profile"),
        ({"nordic": {"all": {"modle": {}}}}, "presets.nordic.all.modle"), ({"nordic": None}, "presets.nordic"), (7, "presets"),
        (True, "presets"),
        ({"sample": {"all": {"training": {"learning_rate": {"a": 1}}}}}, "training.learning_rate"), ({1: {}}, "presets.1"),
    ],
)  # fmt: skip
def test_presets_of_a_wrong_shape_are_named(presets: Any, key: str) -> None:
    said = refusal({**SHIPPED, "presets": presets})
    assert said and any(line.startswith(f"params.yaml: {key}: ") for line in said.splitlines()), said


def test_a_prompt_may_hold_a_line_break_and_a_path_may_be_long() -> None:
    assert refusal(changed(SHIPPED, ("model", "prompts", "query"), "Instruct: find\nQuery: ")) is None
    mine = {"kind": "beir", "profile": "sample", "path": "/" + "/".join(["a" * 200] * 10)}
    assert "does not exist" in str(refusal(changed(SHIPPED, ("datasets", "mine"), mine)))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "a", "seed: 2026-13-45", f"seed: {'9' * 5000}", "seed: !!float x", "seed: !!timestamp x", "seed: !!int ''",
        "[" * 5000,
        "seed: &a [*a]", "a: &a [x]\nb: &b [*a, *a]\n", "? {a: 1}\n: 2", "seed: 1\nseed: 2", "--- 1\n--- 2", "seed: !!binary abc", "\x00",
        "seed: 2020-01-01", "2020-01-01: 1", "seed: \x07", "a: " * 100, "training: {learning_rate: .inf", "\ufeff", "true: 1",
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_an_invalid_file_gives_error_lines_of_bounded_length(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        validated(read_yaml(tmp_path / "params.yaml"))
    assert all("params.yaml: " in line and len(line) < 800 for line in str(error.value).splitlines())
