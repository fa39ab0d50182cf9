"""OpenSearch's tokenizer model: what its plug-in reads and computes, done here with the package that it is built on."""

import hashlib
import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from sentence_transformers import SparseEncoder
from tokenizers import Tokenizer

from stages.export import opensearch
from stages.export.query_encoder import static_query, write
from stages.retrieval.vectors import encode
from tests.unit.export.conftest import OTHERS, WORDPIECE, Make, all_texts, inference_free


def answers(archive: Path, texts: tuple[str, ...]) -> list[dict[str, float]]:
    """What ml-commons' SparseTokenizerModel makes of texts: each distinct id, decoded alone without special tokens, has its idf or 1.

    Two ids that decode to one text are an error there.
    """
    with ZipFile(archive) as zipped:
        tokenizer = Tokenizer.from_str(zipped.read("tokenizer.json").decode())
        idf = json.loads(zipped.read("idf.json"))
    made = []
    for text in texts:
        tokens = [tokenizer.decode([number], skip_special_tokens=True) for number in dict.fromkeys(tokenizer.encode(text).ids)]
        tokens = [token for token in tokens if token]
        assert len(tokens) == len(set(tokens))
        made.append({token: idf.get(token, 1.0) for token in tokens})
    return made


@pytest.mark.parametrize("make", [WORDPIECE[0], *OTHERS])
def test_query_weights_are_the_models(make: Make, tmp_path: Path) -> None:
    model, texts = inference_free(make), tuple(all_texts()[::10])
    write(model, tmp_path, "model", None)
    tokenizer, matrix = static_query(model).tokenizer, encode(model, texts, "query", batch_size=256)
    special = set(tokenizer.all_special_tokens)
    for row, answer in enumerate(answers(tmp_path / "opensearch.zip", texts)):
        vector = matrix[[row]]
        ours = dict(zip(tokenizer.convert_ids_to_tokens(vector.indices.tolist()), vector.data.tolist(), strict=True))
        ours = {token: weight for token, weight in ours.items() if token not in special}
        assert {token: weight for token, weight in answer.items() if weight > opensearch.LEAST} == ours
        assert min(answer.values(), default=1) > 0


def test_weights_are_within_lucenes_bounds(tiny: SparseEncoder, tmp_path: Path) -> None:
    weights = static_query(tiny).weight.data
    weights[10:13] = weights.new_tensor([-1.0, 0.0, 128.0])
    write(tiny, tmp_path, "model", None)
    with ZipFile(tmp_path / "opensearch.zip") as zipped:
        idf = json.loads(zipped.read("idf.json"))
    tokens = static_query(tiny).tokenizer.convert_ids_to_tokens([10, 11, 12, 13])
    assert [idf[token] for token in tokens] == pytest.approx([opensearch.LEAST, opensearch.LEAST, 64.0, weights[13].item() / 2])


def test_the_request_names_the_file_and_the_same_model_makes_the_same(tiny: SparseEncoder, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        write(tiny, folder, "øl", None)
    first, second = (json.loads((folder / "opensearch.json").read_text(encoding="utf-8")) for folder in folders)
    content = (folders[0] / "opensearch.zip").read_bytes()
    assert first == second and first["function_name"] == "SPARSE_TOKENIZE" and first["name"] == "øl"
    assert first["model_content_hash_value"] == hashlib.sha256(content).hexdigest() and first["model_content_size_in_bytes"] == len(content)
