"""A text's active dimensions have readable names, and the shares of shared terms add up to the score."""

import pytest
import torch
from sentence_transformers import SparseEncoder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from stages.evaluate.examples import Example
from stages.evaluate.terms import Representation, explain, matches, represent, term_names
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import Treatment
from tests.unit.conftest import WORDS

QUERY, DOCUMENT = "fjellhus havtur", "havtur skogvann Fjellhus havtur byvann"


def byte_level() -> Tokenizer:
    """ "Ã¸" is ø, and "Ã" its first byte alone."""
    tokenizer = Tokenizer(models.BPE({piece: row for row, piece in enumerate(["Ġhoved", "staden", "Ã¸", "Ã", "?", "a"])}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({piece: row for row, piece in enumerate(["▁hoved", "staden", "ø", "▁", "?", "▁a"])}, "?"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return tokenizer


def word_pieces() -> Tokenizer:
    tokenizer = Tokenizer(
        models.WordPiece(vocab={piece: row for row, piece in enumerate(["hoved", "##staden", "##ø", "##å", "?", "a"])}, unk_token="?")
    )
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    return tokenizer


@pytest.mark.parametrize(("tokenizer", "fourth"), [(byte_level(), "Ã"), (metaspace(), "▁"), (word_pieces(), "-å")])
def test_word_pieces_are_readable_for_every_kind_of_tokenizer(tokenizer: Tokenizer, fourth: str) -> None:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    assert term_names(fast, range(5)) == ["hoved", "-staden", "-ø", fourth, "?"]
    assert term_names(fast, [1], first=1) == ["staden"]
    assert term_names(fast, [99]) == ["token 99"]


@pytest.mark.parametrize("route", ["query", "document"])
def test_terms_are_the_embedding_and_expansions_are_not_in_the_text(splade: SparseEncoder, route: str) -> None:
    encode = splade.encode_query if route == "query" else splade.encode_document
    embedding = encode(DOCUMENT, convert_to_sparse_tensor=False)
    found = represent(splade, DOCUMENT, route)  # type: ignore[arg-type]
    assert [term.weight for term in found.terms] == sorted(embedding[embedding > 0].tolist(), reverse=True)
    assert found.size == len(embedding)
    vocabulary = splade.tokenizer.get_vocab()
    for term in found.terms:
        assert vocabulary[term.name] == term.dimension
        assert term.expansion == (term.name not in DOCUMENT.lower().split())
    assert any(term.expansion for term in found.terms)


def test_a_word_without_weight_is_silent(inference_free: SparseEncoder) -> None:
    weight = inference_free[0].sub_modules["query"][0].weight
    token = inference_free.tokenizer.convert_tokens_to_ids("havtur")
    kept = weight[token].item()
    with torch.no_grad():
        weight[token] = 0.0
    found = represent(inference_free, QUERY, "query")
    with torch.no_grad():
        weight[token] = kept
    assert [term.name for term in found.terms] == ["fjellhus"]
    assert found.silent == ("havtur",)


def test_an_inference_free_query_has_its_static_weights_and_no_expansion(inference_free: SparseEncoder) -> None:
    found = represent(inference_free, QUERY, "query")
    weight = inference_free[0].sub_modules["query"][0].weight
    assert {term.dimension: term.weight for term in found.terms} == {
        token: weight[token].item() for token in inference_free.tokenizer.convert_tokens_to_ids(QUERY.split())
    }
    assert not any(term.expansion for term in found.terms)
    assert any(term.expansion for term in represent(inference_free, QUERY, "document").terms)


def test_a_latent_names_the_words_whose_removal_lowers_its_weight(csr: SparseEncoder) -> None:
    words = [*WORDS[:5], WORDS[5] + "."]
    found = represent(csr, " ".join(words), "document")
    assert found.latent and len(found.terms) == 8
    for term in found.terms:
        assert term.name == f"latent {term.dimension}"
        remaining = {}
        for word in words:
            text = " ".join(other for other in words if other != word)
            remaining[word.strip(".")] = csr.encode_document(text, convert_to_sparse_tensor=False)[term.dimension].item()
        if term.words:
            assert remaining[term.words[0]] == pytest.approx(min(remaining.values()), abs=1e-5)
            assert remaining[term.words[0]] < term.weight
    assert any(term.words for term in found.terms)


@pytest.mark.parametrize("architecture", ["splade", "csr"])
def test_a_long_document_has_the_terms_that_are_scored(architecture: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(architecture)
    text = " ".join(WORDS * 4)
    for treatment in (Treatment("max_vector"), Treatment("max_score")):
        found = explain(model, Example("mine", QUERY, text), treatment)
        made = RetrievalSet("mine", None, {"q": QUERY}, {"d": text}, {"q": {"d": 1.0}})
        score = evaluate(model, made, treatment=treatment).run["q"]["d"]
        assert sum(match.product for match in found.matches) == pytest.approx(score, rel=1e-4)
        assert (found.document.text == text) is (treatment.long_documents == "max_vector")


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_shares_are_those_of_the_models_own_score(architecture: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(architecture)
    query, document = represent(model, QUERY, "query"), represent(model, DOCUMENT, "document")
    found = matches(query, document)
    score = model.similarity(model.encode_query(QUERY), model.encode_document(DOCUMENT)).item()
    assert sum(match.product for match in found) == pytest.approx(score, rel=1e-5)
    assert sum(match.share for match in found) == pytest.approx(1.0)
    assert found == sorted(found, key=lambda match: -match.share)
    for match in found:
        assert match.product == match.query.weight * match.document.weight
        assert match.query.dimension == match.document.dimension
    assert matches(query, Representation("", "document", document.size, ())) == []
