"""The stage writes models/made from models/base and the mixed rows, as resolved/make_base.yaml asks."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from stages.make_base.__main__ import main
from tests.conftest import SENTENCES
from tests.unit.make_base.test_pieces import unigram
from tests.unit.make_base.test_trimming import multilingual

SETTINGS = """
made: null
trimmed: {name: org/base, trust_remote_code: false, smallest_count: 1, prompts: {query: 'q: '}}
"""


def test_the_base_is_trimmed_to_the_mixed_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("resolved", "data/mixed"):
        Path(folder).mkdir(parents=True)
    Path("resolved/make_base.yaml").write_text(SETTINGS, encoding="utf-8")
    pq.write_table(pa.table({"anchor": SENTENCES[:2], "positive": SENTENCES[2:4]}), "data/mixed/train.parquet")
    multilingual(Path("models/base"), "xlm-roberta", unigram())
    assert "org/base" in main()
    before, after = (AutoTokenizer.from_pretrained(f"models/{name}") for name in ("base", "made"))
    assert len(after) < len(before) and AutoModelForMaskedLM.from_pretrained("models/made").config.vocab_size == len(after)
    texts = [f"q: {SENTENCES[0]}", SENTENCES[3]]
    assert [after.tokenize(text) for text in texts] == [before.tokenize(text) for text in texts]
