"""The model card: what the model is, how to use it, its scores beside BM25, and its training data.

It is written from the values it is given and nothing else: no training rows, no dates, no path of the machine. A local data set appears
by its name in params.yaml, a local base model without a name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import yaml_dump

from stages.hub.manifest import forbids_commercial_use
from stages.retrieval.treatment import UNTREATED, Treatment

LOCAL = "local"
SAMPLE = "built-in sample"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
LOCAL_PATH = re.compile(r"(~|\.{0,2}/|[A-Za-z]:[\\/]|file:|\\\\).")
PLACES = re.compile(r"tracking|hub|(.*_)?(path|dir|folder|file|uri|url|token|secret|password)")

ARCHITECTURES = {
    "splade": (
        "SPLADE",
        "a masked language model gives each query and document a weight for every entry of its vocabulary",
        ["splade"],
    ),
    "inference-free-splade": (
        "inference-free SPLADE",
        "documents go through a masked language model; queries only look up one learnt weight per token, so that a "
        "search needs no neural network",
        ["splade", "inference-free", "asymmetric"],
    ),
    "csr": ("CSR", "a sparse autoencoder turns the embedding of a dense model into a few active dimensions", ["csr"]),
}
LANGUAGES = {
    "nb": "Norwegian bokmål", "nn": "Norwegian nynorsk", "no": "Norwegian", "da": "Danish", "sv": "Swedish",
    "en": "English",
}  # fmt: skip
EXAMPLES = {
    "nb": ("hvor høy er Galdhøpiggen?", ["Galdhøpiggen er 2469 meter høy.", "Hardangerfjorden er 179 kilometer lang."]),
    "nn": ("kor høg er Galdhøpiggen?", ["Galdhøpiggen er 2469 meter høg.", "Hardangerfjorden er 179 kilometer lang."]),
    "da": ("hvor højt er Himmelbjerget?", ["Himmelbjerget er 147 meter højt.", "Gudenåen er 150 kilometer lang."]),
    "sv": ("hur högt är Kebnekaise?", ["Kebnekaise är omkring 2 100 meter högt.", "Göta kanal är 190 kilometer lång."]),
    "en": ("waterproof hiking boots", ["Leather boots with a waterproof membrane.", "A light tent for two people."]),
}  # fmt: skip
COLUMNS = (
    ("nDCG@10", "ndcg@10", ".3f"),
    ("BM25 nDCG@10", "bm25_ndcg@10", ".3f"),
    ("stemmed BM25 nDCG@10", "bm25_stemmed_ndcg@10", ".3f"),
    ("MRR@10", "mrr@10", ".3f"),
    ("recall@100", "recall@100", ".3f"),
    ("active dimensions, query", "query_active_dims", ".0f"),
    ("active dimensions, document", "corpus_active_dims", ".0f"),
    ("FLOPS", "flops", ".2f"),
)


@dataclass(frozen=True)
class TrainingSet:
    """A data set as the card names it: ``source`` is a Hub id, `LOCAL` or `SAMPLE`; ``rows`` is the number that training used."""

    name: str
    source: str
    revision: str | None = None
    license: str | None = None
    rows: int | None = None


def model_card(
    *,
    model_id: str,
    architecture: str,
    base_model: str,
    base_revision: str | None,
    languages: Sequence[str],
    training_sets: Sequence[TrainingSet],
    params: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    commit: str | None,
    dirty: bool = False,
    trust_remote_code: bool = False,
    license: str | None = None,
    treatment: Treatment = UNTREATED,
) -> str:
    """The README.md of a model, its YAML header for the Hub included.

    Args:
        model_id: the repository, namespace/name. architecture: splade, inference-free-splade or csr.
        base_model: a Hub id with ``base_revision``; without a revision it is `SAMPLE` or a local model, which is not named.
        languages: ISO 639 codes; the first chooses the example.
        params: effective values, nested. Sections and values that name a place (a path, an address) are left out.
        evaluation: the content of metrics/evaluation.json: the metrics of `COLUMNS` for each evaluation set and for ``mean``.
        commit: the git commit of the run; ``dirty``: the working tree had uncommitted changes.
        license: the model's, as the Hub's identifier; None if it is not known.
        treatment: what retrieval.json says of long documents and of pruning.
    """
    kind, idea, _ = ARCHITECTURES[architecture]
    name = model_id.rpartition("/")[2]
    spoken = _enumerate([LANGUAGES.get(code, code) for code in languages]) or "any language"
    scores = {key: values for key, values in evaluation.items() if isinstance(values, Mapping)}
    sections = [
        f"# {name}",
        f"A sparse retrieval model ({kind}) for {spoken}: {idea}. "
        f"It was trained from {_base(base_model, base_revision)} with [sentence-transformers](https://sbert.net).",
        _usage(model_id, architecture, languages, trust_remote_code),
        _treatment(treatment),
        _score_section(scores),
        _data_section(training_sets),
        _origin(params, base_model if base_revision is None else None, commit, dirty),
    ]
    header = ModelCardData(
        language=list(dict.fromkeys(languages)) or None,
        license=license,
        library_name="sentence-transformers",
        pipeline_tag="feature-extraction",
        tags=["sentence-transformers", "sparse-encoder", "sparse", *ARCHITECTURES[architecture][2]],
        base_model=base_model if _on_hub(base_model, base_revision) else None,
        datasets=sorted({data.source for data in training_sets if _on_hub(data.source, data.revision)}) or None,
        **_model_index(name, scores),
    )
    return f"---\n{header.to_yaml()}\n---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _usage(model_id: str, architecture: str, languages: Sequence[str], trust_remote_code: bool) -> str:
    query, documents = EXAMPLES[next((code for code in languages if code in EXAMPLES), "nb")]
    lines = "\n".join(f'    "{document}",' for document in documents)
    trust = ", trust_remote_code=True" if trust_remote_code else ""
    notes = []
    if architecture != "csr":
        notes.append("`model.decode(query, top_k=10)` shows the words behind an embedding.")
    if architecture == "inference-free-splade":
        notes.append(
            "Queries and documents take different routes: use `encode_query` and `encode_document`. Plain `encode` "
            "takes the document route, and queries encoded with it score far below the table."
        )
    if trust_remote_code:
        notes.append("`trust_remote_code=True` runs the encoder's own code: read it, and pin a `revision`.")
    code = f"""```python
from sentence_transformers import SparseEncoder

model = SparseEncoder("{model_id}"{trust})
query = model.encode_query("{query}")
documents = model.encode_document([
{lines}
])
print(model.similarity(query, documents))  # higher is closer
```"""
    return "\n\n".join(["## Usage", code, " ".join(notes)]).rstrip()


def _treatment(treatment: Treatment) -> str:
    rules = "\n".join(f"- {rule}" for rule in treatment.rules())
    return f"## Index\n\nThe scores below are those of this treatment, which `retrieval.json` holds:\n\n{rules}" if rules else ""


def _score_section(scores: Mapping[str, Mapping[str, Any]]) -> str:
    if not scores:
        return ""
    rows = [
        [f"**{name}**" if name == "mean" else name, *(_number(values.get(key), form) for _, key, form in COLUMNS)]
        for name, values in sorted(scores.items(), key=lambda item: item[0] == "mean")
    ]
    table = _table(["evaluation set", *(title for title, _, _ in COLUMNS)], rows, numbers=True)
    return f"## Scores\n\nBM25 ranks the same documents for the same queries, with every word as it is and with stemmed words.\n\n{table}"


def _data_section(training_sets: Sequence[TrainingSet]) -> str:
    rows = []
    for data in training_sets:
        source, revision = data.source if data.source in (LOCAL, SAMPLE) else LOCAL, ""
        if _on_hub(data.source, data.revision):
            page = f"https://huggingface.co/datasets/{data.source}"
            source, revision = f"[{data.source}]({page})", f"[`{data.revision:.7}`]({page}/tree/{data.revision})"
        used = "" if data.rows is None else f"{data.rows:,}"
        rows.append([data.name, source, revision, data.license or "not known", used])
    table = _table(["data set", "source", "revision", "licence", "rows used"], rows)
    restricted = [data.name for data in training_sets if forbids_commercial_use(data.license)]
    note = f"\n\nThe licence forbids commercial use of: {_enumerate(restricted)}." if restricted else ""
    return f"## Training data\n\n{table}{note}" if rows else ""


def _origin(params: Mapping[str, Any], hidden: str | None, commit: str | None, dirty: bool) -> str:
    changes = ", with uncommitted changes" if dirty else ""
    made = f"Trained with nordic-sparse at commit `{commit}`{changes}." if commit else "Trained with nordic-sparse."
    if not params:
        return f"## Training\n\n{made}"
    settings = yaml_dump(_public(params, hidden), sort_keys=False).rstrip()
    summary = "<summary>Effective parameters</summary>"
    return f"## Training\n\n{made}\n\n<details>\n{summary}\n\n```yaml\n{settings}\n```\n\n</details>"


def _public(value: Any, hidden: str | None) -> Any:
    """Settings without paths, addresses and credentials."""
    if isinstance(value, Mapping):
        kept = {key: item for key, item in value.items() if not PLACES.fullmatch(str(key))}
        return {key: _public(item, hidden) for key, item in kept.items()}
    if isinstance(value, list | tuple):
        return [_public(item, hidden) for item in value]
    if isinstance(value, str) and (LOCAL_PATH.match(value) or value == hidden != SAMPLE):
        return LOCAL
    return value


def _base(base_model: str, revision: str | None) -> str:
    if _on_hub(base_model, revision):
        page = f"https://huggingface.co/{base_model}"
        return f"[{base_model}]({page}) at [`{revision:.7}`]({page}/tree/{revision})"
    return "the sample's small base model" if base_model == SAMPLE else "a local base model"


def _on_hub(name: str, revision: str | None) -> bool:
    """Whether a name is a Hub id: it has a revision, since ``data/mine`` alone may be a folder."""
    return revision is not None and HUB_ID.fullmatch(name) is not None


def _model_index(name: str, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    results = [
        EvalResult(
            task_type="sparse-information-retrieval",
            task_name="Sparse information retrieval",
            dataset_type=re.sub(r"\s+", "-", dataset),
            dataset_name=dataset,
            metric_type="ndcg@10",
            metric_name="nDCG@10",
            metric_value=round(float(values["ndcg@10"]), 4),
        )
        for dataset, values in scores.items()
        if dataset != "mean" and _number(values.get("ndcg@10"), "f") != "–"
    ]
    return {"model_name": name, "eval_results": results} if results else {}


def _number(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) and isfinite(value) else "–"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    rule = ["---", *(("---:" if numbers else "---") for _ in titles[1:])]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (titles, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _enumerate(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
