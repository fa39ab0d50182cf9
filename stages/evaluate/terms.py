"""Explains a sparse model: the active dimensions of a text by name and weight, and those that a query and a document share.

A dimension of SPLADE is a term of the vocabulary; a term that is not among the text's own word pieces is an expansion. A latent of CSR has
no word: it is named by its number and by the words of the text whose removal lowers its weight most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from sentence_transformers import SparseEncoder
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from stages.encoders.active_dims import autoencoder_of
from stages.evaluate.examples import Example
from stages.retrieval.documents import best_window
from stages.retrieval.treatment import UNTREATED, Treatment
from stages.retrieval.vectors import Route
from stages.retrieval.windows import DOCUMENT_PROMPTS, Windows

PROMPTS: Mapping[Route, Sequence[str]] = {"query": ("query",), "document": DOCUMENT_PROMPTS}
WORDS_TRIED = 64  # each costs one more encoding of the text
WORDS_NAMED = 2
ENDS = ".,;:!?\"'()[]«»“”…"


@dataclass(frozen=True)
class Term:
    """One active dimension of a text.

    Attributes:
        expansion: whether it is a vocabulary term that is not in the text.
        words: for a latent, the words of the text whose removal lowers its weight most.
    """

    dimension: int
    name: str
    weight: float
    expansion: bool = False
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Representation:
    """A text as the model encodes it.

    Attributes:
        size: number of dimensions.
        terms: the active dimensions, highest weight first.
        silent: word pieces of the text that have no weight.
        latent: whether the dimensions are latents.
    """

    text: str
    route: Route
    size: int
    terms: tuple[Term, ...]
    silent: tuple[str, ...] = ()
    latent: bool = False


@dataclass(frozen=True)
class Match:
    """A dimension that query and document share: the product of its weights, and the product's share of the score, their sum."""

    query: Term
    document: Term
    product: float
    share: float


@dataclass(frozen=True)
class Explanation:
    """Query and document of an `Example`, and the dimensions that they share."""

    example: Example
    query: Representation
    document: Representation
    matches: tuple[Match, ...]


def explain(model: SparseEncoder, example: Example, treatment: Treatment = UNTREATED) -> Explanation:
    """The dimensions that ``model`` gives the query, the document (with max_score: its best window) and both."""
    query = represent(model, example.query, "query")
    document = represent(model, best_window(model, example.query, example.document, treatment), "document", treatment)
    return Explanation(example, query, document, tuple(matches(query, document)))


def represent(model: SparseEncoder, text: str, route: Route, treatment: Treatment = UNTREATED) -> Representation:
    """Encode ``text`` as a query or as a document; an inference-free model has a route for each.

    Unless ``treatment`` cuts long documents, the weights of one are the element-wise maximum over its windows.
    """
    windows = Windows.of(model, treatment) if route == "document" and treatment.long_documents != "cut" else None
    [embedding] = _encode(model, [text], route, windows)
    active = embedding.nonzero().view(-1)
    words = _words_of_latents(model, text, route, embedding, active.tolist(), windows) if autoencoder_of(model) else {}
    return described(model, text, route, len(embedding), active.tolist(), embedding[active].tolist(), words)


def described(
    model: SparseEncoder,
    text: str,
    route: Route,
    size: int,
    dimensions: Sequence[int],
    weights: Sequence[float],
    words: Mapping[int, tuple[str, ...]] = {},
) -> Representation:
    """A text whose vector is known: its active ``dimensions``, of ``size``, and their ``weights``. Nothing is encoded.

    Args:
        words: by latent, the words of the text whose removal lowers its weight most.
    """
    active = sorted(zip(dimensions, weights, strict=True), key=lambda pair: (-pair[1], pair[0]))
    if autoencoder_of(model):
        terms = [Term(d, f"latent {d}", w, words=words.get(d, ())) for d, w in active]
        return Representation(text, route, size, tuple(terms), latent=True)
    prompt = next((model.prompts[name] for name in PROMPTS[route] if name in model.prompts), None) or ""
    own = list(dict.fromkeys(model.tokenizer(prompt + text, add_special_tokens=False, verbose=False)["input_ids"]))
    order = [dimension for dimension, _ in active]
    silent = [token for token in own if token not in set(order)]
    names = dict(zip([*order, *silent], term_names(model.tokenizer, [*order, *silent], first=own[0] if own else None), strict=True))
    terms = [Term(d, names[d], w, expansion=d not in own) for d, w in active]
    return Representation(text, route, size, tuple(terms), tuple(names[token] for token in silent))


def matches(query: Representation, document: Representation) -> list[Match]:
    """The dimensions that both share, largest share of the score first."""
    in_document = {term.dimension: term for term in document.terms}
    shared = [(term, other) for term in query.terms if (other := in_document.get(term.dimension))]
    products = [term.weight * other.weight for term, other in shared]
    score = sum(products)
    found = [Match(*pair, product, product / score if score else 0.0) for pair, product in zip(shared, products, strict=True)]
    return sorted(found, key=lambda match: (-match.product, match.query.dimension))


def term_names(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], first: int | None = None) -> list[str]:
    """Readable word pieces, the same for every kind of tokenizer; a piece that continues a word gets a hyphen ("-staden").

    Each token is decoded after the letter a: a piece that comes out with a space before it begins a word. ``first`` is the first token of
    the text, which some tokenizers write without the space. A part of a character (in byte-level tokenizers) keeps the tokenizer's name.
    """
    anchor = tokenizer("a", add_special_tokens=False)["input_ids"]
    width = len(_decode(tokenizer, anchor))
    names = []
    for token in tokens:
        piece = _decode(tokenizer, [*anchor, token])[width:]
        name = piece.strip()
        if not name or "\ufffd" in name:
            names.append(str(tokenizer.convert_ids_to_tokens(token) or f"token {token}"))
        elif piece[0].isspace() or token == first or not name[0].isalnum():
            names.append(name)
        else:
            names.append(f"-{name}")
    return names


def _decode(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))


def _encode(model: SparseEncoder, texts: list[str], route: Route, windows: Windows | None = None) -> Tensor:
    encode = model.encode_query if route == "query" else model.encode_document
    parts = windows.split(texts) if windows else [[text] for text in texts]
    embeddings: Tensor = encode([each for part in parts for each in part], convert_to_sparse_tensor=False, show_progress_bar=False)
    return torch.stack([each.amax(dim=0) for each in embeddings.cpu().split([len(part) for part in parts])])


def _words_of_latents(
    model: SparseEncoder, text: str, route: Route, embedding: Tensor, latents: Sequence[int], windows: Windows | None
) -> dict[int, tuple[str, ...]]:
    """Latent → the words whose removal lowers its weight most (occlusion), most first; only the first `WORDS_TRIED` words are tried."""
    words = text.split()
    tried = words[:WORDS_TRIED]
    names = [word.strip(ENDS) or word for word in tried]
    if len(words) < 2:
        return {latent: tuple(names) for latent in latents}
    without = _encode(model, [" ".join(words[:place] + words[place + 1 :]) for place in range(len(tried))], route, windows)
    lost = embedding - without
    named: dict[int, tuple[str, ...]] = {}
    for latent in latents:
        column = lost[:, latent]
        places = torch.argsort(column, descending=True, stable=True).tolist()
        named[latent] = tuple(dict.fromkeys(names[place] for place in places if column[place] > 0))[:WORDS_NAMED]
    return named
