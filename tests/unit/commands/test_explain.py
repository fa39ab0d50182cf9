"""`nordic-sparse explain`: what it prints, and a one-line error for every mistake."""

from pathlib import Path

import pytest

from stages.commands.__main__ import run
from stages.config.settings import EvaluateSettings
from stages.encoders.building import ENCODERS
from stages.evaluate.__main__ import evaluate
from stages.pretrained.norbert import lift_code, prepare_base
from stages.retrieval.treatment import UNTREATED, Treatment
from tests import tiny_models
from tests.fakes.lookalikes.folders import write_folder
from tests.refused import refused
from tests.sections import model_section

QUERY, DOCUMENT, TRUST = "hva er øl?", "øl er en drikk", "--trust-remote-code"


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("explain") / "splade", "splade")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run(["explain", *arguments])
    return capsys.readouterr().out.splitlines()


def test_a_query_has_its_terms_in_columns_with_expansions_marked(splade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, QUERY, "--model", str(splade), "--top", "6")
    assert lines[1] == f"query · {QUERY}"
    assert "dimensions are active" in lines[2]
    rows = [line for line in lines if "█" in line]
    assert len(rows) == 6 and len({row.index("█") for row in rows}) == 1
    own = {"h", "-v", "-a", "e", "-r", "ø", "-l", "?"}
    for row in rows:
        marked, name = row.split()[0] == "+", row.split()[-3]
        assert marked == (name not in own)
    assert any("more with" in line for line in lines) and lines[-2].strip() == "+ expansion: not in the text"


def test_a_query_and_a_document_have_their_shared_terms_with_shares(splade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, QUERY, "--document", DOCUMENT, "--model", str(splade), "--top", "1000")
    start = next(number for number, line in enumerate(lines) if line.startswith("score "))
    assert lines[1].startswith("query · ") and any(line.startswith("document · ") for line in lines[:start])
    shares = [float(word[:-1]) for line in lines[start:] for word in line.split() if word.endswith("%")]
    assert len(shares) == int(lines[start].split()[3])
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))


def test_the_best_window_of_a_long_document_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_models.save(tmp_path / "splade", "splade")
    Treatment("max_score", overlap=4).write(folder)
    long = "b " * 70 + DOCUMENT
    lines = printed(capsys, QUERY, "--document", long, "--model", str(folder), "--top", "1000")
    [shown] = [line.removeprefix("document · ") for line in lines if line.startswith("document · ")]
    assert len(shown) < len(long) and shown in long
    [alone] = [line for line in printed(capsys, "--document", long, "--model", str(folder)) if line.startswith("document · ")]
    assert alone.endswith(long)


def test_the_output_says_that_latents_have_no_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--document", DOCUMENT, "--model", str(tiny_models.save(tmp_path / "csr", "csr")))
    assert lines[1] == f"document · {DOCUMENT}"
    assert sum(line.strip().startswith("latent ") for line in lines) >= 8 - 1
    assert any("latents have no words of their own" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--top", "5"), "text … query"),
        ((" ",), "query … empty"),
        (("hva", "--document", ""), "document … empty"),
        (("hva",), "models/final … no model … `dvc repro`"),
        (("hva", "--model", "models/nowhere"), "models/nowhere … no model … folder"),
    ],
)
def test_a_mistake_is_a_one_line_error(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with refused(message):
        run(["explain", *arguments])


@pytest.mark.usefixtures("modules_cache")
@pytest.mark.parametrize("family", ["norbert3", "norbert4"])
def test_a_model_with_code_of_its_own_needs_permission(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "base", family)
    section = model_section(trust_remote_code=True)
    for architecture in ("splade", "inference-free-splade"):
        model = ENCODERS[architecture].build(prepare_base(tmp_path / "base", tmp_path / "work"), section, [DOCUMENT])
        model.save_pretrained(str(tmp_path / architecture), create_model_card=False)
        lift_code(tmp_path / architecture)
        with refused("--model", "Python code", "--trust-remote-code"):
            run(["explain", QUERY, "--model", str(tmp_path / architecture)])
        assert any("dimensions are active" in line for line in printed(capsys, QUERY, "--model", str(tmp_path / architecture), TRUST))
    monkeypatch.setattr("stages.evaluate.__main__.FINAL", tmp_path / "splade")
    settings = EvaluateSettings(batch_size=1, trust_remote_code=False, device="cpu", mteb=[], active_dims=[], sets={})
    with refused("Python code", "trust_remote_code", "`models`"):
        evaluate(settings, UNTREATED)
