"""What OpenSearch and Elasticsearch answer to a search, as far as their documentation says; vectors are scored exactly, in float32.

https://docs.opensearch.org/latest/query-dsl/compound/hybrid/, https://docs.opensearch.org/latest/query-dsl/specialized/neural-sparse/,
https://www.elastic.co/docs/reference/elasticsearch/rest-apis/retrievers/rrf-retriever. A request of another form is refused.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zipfile import ZipFile

from tokenizers import Tokenizer

from stages.retrieval.bm25 import LANGUAGES, Bm25, tokenize

Scores = dict[str, float]
ANALYZERS = {"standard": None, **{name: code for code, name in LANGUAGES.items()}}
VIA_URL = "plugins.ml_commons.allow_registering_model_via_url"


class Refused(Exception):
    """A request that the server answers with an error; its type and status."""

    def __init__(self, kind: str, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status, self.body = status, {"error": {"type": kind, "reason": reason, "root_cause": []}, "status": status}


@dataclass
class Index:
    """The mapping and the documents of an index."""

    body: Any
    vectors: dict[str, Scores] = field(default_factory=dict)
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.types = {name: dict(settings) for name, settings in self.body["mappings"]["properties"].items()}
        for settings in self.types.values():
            if settings.get("analyzer", "standard") not in ANALYZERS:
                raise Refused("mapper_parsing_exception", f"analyzer [{settings['analyzer']}] has not been configured in mappings")

    def add(self, key: str, source: dict[str, Any]) -> None:
        """Store a document; `Refused` if a weight is not positive, or a token has a dot in it, as older versions do."""
        vector = source.pop("vector")
        if wrong := [name for name, weight in vector.items() if "." in name or weight <= 0]:
            raise Refused("document_parsing_exception", f"fields do not support dots or weights below 0: [{wrong[0]}]")
        self.vectors[key], self.fields[key] = vector, source


class Lucene:
    """The queries of one server, its search pipelines and its tokenizer models.

    Attributes:
        enterprise: whether Elasticsearch's licence has reciprocal rank fusion.
    """

    def __init__(self) -> None:
        self.enterprise = True
        self.settings: dict[str, Any] = {}
        self.pipelines: dict[str, Any] = {}
        self.models: dict[str, tuple[Tokenizer, Mapping[str, float], bool]] = {}
        self._asked = 0

    def search(self, index: Index, body: Mapping[str, Any], pipeline: str | None) -> list[tuple[str, float]]:
        """The hits: ids and scores."""
        if unknown := set(body) - {"query", "retriever", "size", "collapse", "_source"}:
            raise Refused("parsing_exception", f"unknown key [{min(unknown)}]")
        size = body.get("size", 10)
        scores = self._retrieved(index, body["retriever"], size) if "retriever" in body else self._top(index, body, pipeline)
        hits = _ranked(scores)
        if collapse := body.get("collapse"):
            name = collapse["field"]
            if index.types[name]["type"] != "keyword":
                raise Refused("illegal_argument_exception", f"cannot collapse on field [{name}]: it is no keyword or number")
            best: dict[str, tuple[str, float]] = {}
            for key, score in hits:
                best.setdefault(index.fields[key][name], (key, score))
            hits = [*best.values()]
        return hits[:size]

    def _top(self, index: Index, body: Mapping[str, Any], pipeline: str | None) -> Scores:
        [(kind, query)] = body["query"].items()
        if kind != "hybrid":
            return self._scores(index, body["query"])
        if pipeline not in self.pipelines:
            raise Refused("illegal_argument_exception", f"Pipeline {pipeline} is not defined")
        [processor] = self.pipelines[pipeline]["phase_results_processors"]
        combination = processor["score-ranker-processor"]["combination"]
        if combination["technique"] != "rrf" or not 1 <= len(query["queries"]) <= 5:
            raise Refused("illegal_argument_exception", "the technique must be rrf, and of queries there may be 5")
        depth = query.get("pagination_depth", body.get("size", 10))
        return _fused([self._scores(index, each) for each in query["queries"]], combination.get("rank_constant", 60), depth)

    def _retrieved(self, index: Index, retriever: Mapping[str, Any], size: int) -> Scores:
        [(kind, settings)] = retriever.items()
        if kind == "standard":
            return self._scores(index, settings["query"])
        if kind != "rrf" or set(settings) - {"retrievers", "rank_constant", "rank_window_size"} or len(settings["retrievers"]) < 2:
            raise Refused("parsing_exception", f"[{kind}] is not imitated with {sorted(settings)}")
        if not self.enterprise:
            raise Refused("security_exception", "current license is non-compliant for [Reciprocal Rank Fusion (RRF)]", 403)
        window = settings.get("rank_window_size", 10)
        if window < size:
            raise Refused("action_request_validation_exception", "[rank_window_size] must be greater than or equal to [size]")
        runs = [self._retrieved(index, each, size) for each in settings["retrievers"]]
        return _fused(runs, settings.get("rank_constant", 60), window)

    def _scores(self, index: Index, query: Mapping[str, Any]) -> Scores:
        [(kind, settings)] = query.items()
        if kind == "match":
            [(name, wanted)] = settings.items()
            text = wanted["query"] if isinstance(wanted, dict) else wanted
            language = ANALYZERS[index.types[name].get("analyzer", "standard")]
            corpus = Bm25((fields[name] for fields in index.fields.values()), language)
            return _found(zip(index.fields, corpus.scores(tokenize([text], language)[0]).tolist(), strict=True))
        if kind == "neural_sparse":
            [(name, wanted)] = settings.items()
            tokens = wanted.get("query_tokens") or self._encoded(wanted["query_text"], wanted.get("model_id", ""))
        elif kind == "sparse_vector":
            name, tokens = settings["field"], settings["query_vector"]
            if set(settings) - {"field", "query_vector", "prune", "boost"}:
                raise Refused("parsing_exception", f"[sparse_vector] has unknown keys: {sorted(settings)}")
        else:
            raise Refused("parsing_exception", f"unknown query [{kind}]")
        wants = {"neural_sparse": "rank_features", "sparse_vector": "sparse_vector"}[kind]
        if index.types.get(name, {}).get("type") != wants:
            raise Refused("illegal_argument_exception", f"[{kind}] works only on fields of type [{wants}]")
        products = {key: sum(weight * vector.get(term, 0.0) for term, weight in tokens.items()) for key, vector in index.vectors.items()}
        return _found(products.items())

    def _encoded(self, text: str, model: str) -> Scores:
        """As ml-commons' SparseTokenizerModel: each distinct token has its weight, or 1."""
        if model not in self.models or not self.models[model][2]:
            raise Refused("illegal_argument_exception", f"model {model} is not deployed")
        tokenizer, weights, _ = self.models[model]
        tokens = [tokenizer.decode([number], skip_special_tokens=True) for number in dict.fromkeys(tokenizer.encode(text).ids)]
        return {token: weights.get(token, 1.0) for token in tokens if token}

    def plugin(self, method: str, parts: list[str], body: Any) -> Any:
        """What /_plugins/_ml/models and /_plugins/_ml/tasks answer."""
        match method, parts:
            case "POST", ["models", "_register"]:
                return self._register(body)
            case "GET", ["tasks", task]:
                self._asked += 1  # a task takes a while
                return {"state": "COMPLETED", "model_id": task} if self._asked % 2 == 0 else {"state": "CREATED"}
            case "POST", ["models", model, "_deploy"]:
                self.models[model] = (*self.models[model][:2], True)
                return {"task_id": model, "status": "CREATED"}
        raise Refused("illegal_argument_exception", f"{method} {parts} is not imitated")

    def _register(self, body: Any) -> Any:
        if not self.settings.get(VIA_URL):
            raise Refused("illegal_argument_exception", f"To upload custom model user needs to enable {VIA_URL}")
        path = Path(unquote(urlsplit(body["url"]).path))
        content = path.read_bytes()
        if body["model_content_hash_value"] != hashlib.sha256(content).hexdigest() or body["function_name"] != "SPARSE_TOKENIZE":
            raise Refused("illegal_argument_exception", "model content hash can't match original hash value")
        with ZipFile(path) as zipped:
            tokenizer, weights = Tokenizer.from_str(zipped.read("tokenizer.json").decode()), json.loads(zipped.read("idf.json"))
        model = f"model{len(self.models)}"
        self.models[model] = tokenizer, weights, False
        return {"task_id": model, "status": "CREATED"}


def _found(scores: Iterable[tuple[str, float]]) -> Scores:
    return {key: score for key, score in scores if score > 0}


def _ranked(scores: Scores) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda pair: -pair[1])


def _fused(runs: Iterable[Scores], constant: int, depth: int) -> Scores:
    fused: Scores = {}
    for run in runs:
        for place, (key, _) in enumerate(_ranked(run)[:depth], start=1):
            fused[key] = fused.get(key, 0.0) + 1 / (constant + place)
    return fused
