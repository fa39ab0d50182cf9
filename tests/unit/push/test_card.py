"""The model card: true to its values, valid for the Hub, and silent about the machine."""

import re
from typing import Any

import pytest
from huggingface_hub import ModelCard

from stages.push.card import LOCAL, SAMPLE, TrainingSet, model_card
from stages.retrieval.treatment import Treatment

REVISION = "0123456789" * 4
EVALUATION = {
    "NanoSampleNb": {
        "ndcg@10": 0.72712,
        "mrr@10": 0.701,
        "recall@100": 0.98,
        "query_active_dims": 14.2,
        "corpus_active_dims": 110.4,
        "flops": 1.234,
        "bm25_ndcg@10": 0.69,
        "bm25_stemmed_ndcg@10": 0.71,
    },
    "mean": {"ndcg@10": 0.64, "bm25_ndcg@10": 0.61, "flops": float("nan")},
    "squad | da": {"ndcg@10": 0.55, "bm25_ndcg@10": 0.53},
    "NanoBEIR_mean_dot_ndcg@10": 0.64,
}


def card(**changes: Any) -> str:
    values: dict[str, Any] = {
        "model_id": "me/nordic-splade",
        "architecture": "splade",
        "base_model": "ltg/norbert3-base",
        "base_revision": REVISION,
        "languages": ["nb", "da"],
        "training_sets": [TrainingSet("nli", "Fremtind/all-nli-norwegian", "ab" * 20, "cc-by-nc-4.0", 556_000)],
        "params": {"seed": 42, "loss": {"query_regularizer_weight": 5e-5}},
        "evaluation": EVALUATION,
        "commit": "c0ffee" + "0" * 34,
    }
    return model_card(**(values | changes))


def test_the_card_tells_how_to_index_if_vectors_are_pruned_or_documents_split() -> None:
    assert "retrieval.json" not in card()
    pruned = card(treatment=Treatment(max_document_dims=120))
    assert "`encode_document(…, max_active_dims=120)`" in pruned and "retrieval.json" in pruned and "encode_query(…" not in pruned
    assert "best window" in card(treatment=Treatment("max_score", 96, 16))


def header(text: str) -> dict[str, Any]:
    return ModelCard(text).data.to_dict()


def test_the_header_is_what_the_hub_reads() -> None:
    data = header(card(license="apache-2.0"))
    assert {key: data[key] for key in ("language", "license", "library_name", "pipeline_tag", "base_model", "datasets")} == {
        "language": ["nb", "da"],
        "license": "apache-2.0",
        "library_name": "sentence-transformers",
        "pipeline_tag": "feature-extraction",
        "base_model": "ltg/norbert3-base",
        "datasets": ["Fremtind/all-nli-norwegian"],
    }
    assert data["tags"] == ["sentence-transformers", "sparse-encoder", "sparse", "splade"]
    (index,) = data["model-index"]
    results = [(result["dataset"]["name"], *result["metrics"][0].values()) for result in index["results"]]
    assert results == [("NanoSampleNb", "ndcg@10", 0.7271, "nDCG@10"), ("squad | da", "ndcg@10", 0.55, "nDCG@10")]


def test_unknown_values_are_left_out_of_the_header() -> None:
    data = header(card(base_model=SAMPLE, base_revision=None, training_sets=[], evaluation={}, languages=[]))
    assert data.keys() == {"library_name", "pipeline_tag", "tags"}


def test_norwegian_is_a_language_and_not_false() -> None:
    assert header(card(languages=["no"]))["language"] == ["no"]


@pytest.mark.parametrize(
    ("architecture", "tags", "remark"),
    [
        ("splade", {"splade"}, False),
        ("inference-free-splade", {"splade", "inference-free", "asymmetric"}, True),
        ("csr", {"csr"}, False),
    ],
)
def test_each_architecture_says_how_it_is_used(architecture: str, tags: set[str], remark: bool) -> None:
    text = card(architecture=architecture)
    assert set(header(text)["tags"]) == tags | {"sentence-transformers", "sparse-encoder", "sparse"}
    assert ("Plain `encode` takes the document route" in text) == remark
    assert ("model.decode" in text) == (architecture != "csr")


@pytest.mark.parametrize("trust", [False, True])
def test_the_code_compiles_and_trusts_remote_code_only_where_needed(trust: bool) -> None:
    for language in ("nb", "nn", "da", "sv", "en", "fi"):
        code = re.findall(r"```python\n(.*?)```", card(languages=[language], trust_remote_code=trust), re.DOTALL)
        compile(code[0], "card", "exec")
        assert ("trust_remote_code=True" in code[0]) == trust and "encode_query" in code[0]


def test_scores_are_beside_bm25_and_the_mean_is_last() -> None:
    table = [line for line in card().splitlines() if line.startswith("|")][:5]
    assert table[0].startswith("| evaluation set | nDCG@10 | BM25 nDCG@10 | stemmed BM25 nDCG@10 |")
    assert table[2:] == [
        "| NanoSampleNb | 0.727 | 0.690 | 0.710 | 0.701 | 0.980 | 14 | 110 | 1.23 |",
        r"| squad \| da | 0.550 | 0.530 | – | – | – | – | – | – |",
        "| **mean** | 0.640 | 0.610 | – | – | – | – | – | – |",
    ]


def test_training_data_is_named_with_licence_and_rows() -> None:
    sets = [
        TrainingSet("nli", "Fremtind/all-nli-norwegian", "ab" * 20, "cc-by-nc-4.0", 556_000),
        TrainingSet("qa", SAMPLE, rows=1200),
        TrainingSet("mine", LOCAL, license="mit"),
    ]
    text = card(training_sets=sets)
    page = "https://huggingface.co/datasets/Fremtind/all-nli-norwegian"
    assert f"| nli | [Fremtind/all-nli-norwegian]({page}) | [`abababa`]({page}/tree/{'ab' * 20}) | cc-by-nc-4.0 | 556,000 |" in text
    assert "| qa | built-in sample |  | not known | 1,200 |" in text and "| mine | local |  | mit |  |" in text
    assert "forbids commercial use of: nli." in text


def test_the_commit_and_uncommitted_changes_are_named() -> None:
    assert f"at commit `c0ffee{'0' * 34}`." in card()
    assert f"at commit `c0ffee{'0' * 34}`, with uncommitted changes." in card(dirty=True)
    assert "commit" not in card(commit=None)


def test_parameters_are_shown_without_paths_and_addresses() -> None:
    params = {
        "seed": 42,
        "model": {"base_model": "models/mine", "max_tokens": 256},
        "loss": {"pattern": r"sub_modules\.query\.", "weights": [0.003, None]},
        "datasets": {"mine": {"path": "data/secret-project", "kind": "beir"}, "x": {"resume_from": "../elsewhere"}},
        "training": {"output_dir": "out", "teacher": "/home/kari/teacher", "other": "~/x", "disk": "C:\\Users\\kari"},
        "tracking": {"uri": "http://kari:hunter2@host"},
        "hub": {"token": "hf_secret"},
    }
    text = card(params=params, base_model="models/mine", base_revision=None)
    for private in ("models/mine", "secret-project", "elsewhere", "kari", "hunter2", "hf_secret", "~/", "output_dir"):
        assert private not in text
    for shown in ("seed: 42", "max_tokens: 256", r"pattern: sub_modules\.query\.", "- 0.003", "kind: beir", "teacher: local"):
        assert shown in text
    assert "base_model" not in header(text) and "a local base model" in text


def test_a_folder_that_looks_like_a_hub_id_is_not_named() -> None:
    text = card(training_sets=[TrainingSet("mine", "data/mine")], base_model="models/base", base_revision=None)
    assert "data/mine" not in text and "models/base" not in text and "datasets" not in header(text)


def test_the_same_values_give_the_same_card() -> None:
    assert card() == card() and not re.search(r"\b20\d\d-\d\d-\d\d\b", card())
