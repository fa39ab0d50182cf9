import io
import json
import tarfile

from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def lines(*labels):
    return "".join(json.dumps({"sentence1": f"a{i}", "sentence2": f"b{i}", "label": label}) + "\n" for i, label in enumerate(labels))


def test_only_paraphrases_of_the_split_are_read_from_the_archive(tmp_path):
    members = {f"x-final/{language}/translated_{name}.json": lines(0, 1, 1) for language in ("nb", "nn") for name in ("train", "test_2k")}
    archive(tmp_path / "norwegian-x-final.tar.gz", members | {"x-final/nb/translated_dev_2k.json": lines("1", "0")})
    rows, dropped = read_all("paws_x", tmp_path)
    assert [(row["anchor"], row["positive"], row["language"]) for row in rows][:2] == [("a1", "b1", "nb"), ("a2", "b2", "nb")]
    assert (len(rows), dropped) == (4, {"not a paraphrase": 2})
    assert len(read_all("paws_x", tmp_path, "dev")[0]) == 1


def test_a_json_array_reads_like_json_lines(tmp_path):
    rows = [{"sentence1": "a", "sentence2": "b", "label": 1}]
    archive(tmp_path / "x.tar.gz", {"x-final/nn/translated_train.json": json.dumps(rows)})
    assert [row["language"] for row in read_all("paws_x", tmp_path)[0]] == ["nn"]


def test_an_archive_that_would_write_outside_writes_nothing(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    archive(raw / "x.tar.gz", {"../../escaped/nb/translated_train.json": lines(1), "/tmp/nb/translated_train.json": lines(1)})
    before = sorted(tmp_path.rglob("*"))
    assert len(read_all("paws_x", raw)[0]) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_truncated_archive_stops_with_one_line(tmp_path):
    path = tmp_path / "x.tar.gz"
    archive(path, {"x-final/nb/translated_train.json": lines(*[1] * 2000)})
    path.write_bytes(path.read_bytes()[:200])
    with refused("x.tar.gz", "complete tar.gz"):
        read_all("paws_x", tmp_path)


def test_a_folder_without_the_files_says_what_to_put_there(tmp_path):
    with refused(str(tmp_path), "translated_train.json", "norwegian-x-final.tar.gz"):
        read_all("paws_x", tmp_path)


def test_links_in_an_archive_lead_nowhere(tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text(lines(1))
    raw = tmp_path / "raw"
    raw.mkdir()
    with tarfile.open(raw / "x.tar.gz", "w:gz") as tar:
        for name, kind, target in [
            ("a/nb/translated_train.json", tarfile.SYMTYPE, str(secret)),
            ("b/nb/translated_train.json", tarfile.SYMTYPE, "translated_train.json"),
            ("c/nb/translated_train.json", tarfile.LNKTYPE, "nowhere"),
            ("d/nb/translated_train.json", tarfile.FIFOTYPE, ""),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
        data = lines(1, 1).encode()
        member = tarfile.TarInfo("nn/translated_train.json")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    assert [row["language"] for row in read_all("paws_x", raw)[0]] == ["nn", "nn"]


def test_labels_of_every_spelling_are_read_and_every_member_is_listed(tmp_path):
    members = {"x-final/nb/translated_train.json": lines(1.0, True, "1", 0.0), "x-final/nb/test.json": lines(1), "x-final/README.txt": "x"}
    archive(tmp_path / "x.tar.gz", members)
    raw = RawFolder(tmp_path)
    chunks = list(reader("paws_x")(raw, "train", Options()))
    assert [(len(chunk.rows), chunk.dropped) for chunk in chunks] == [(3, {("not a paraphrase", "nb"): 1})]
    account = raw.account()
    assert account.pop("x.tar.gz: x-final/nb/translated_train.json") == {"train": 4}
    assert {name for name, rows in account.items() if "not read" in rows} == {
        "x.tar.gz",
        *(f"x.tar.gz: {name}" for name in list(members)[1:]),
    }
    assert raw.warnings() == []
