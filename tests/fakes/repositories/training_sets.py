"""Small versions of the training sets of nordic and ecommerce: layouts, columns and traps of the real repositories.

Each docstring names what its set holds that must not be trained on. `TRAINING_SETS` is keyed as ``datasets`` in params.yaml.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from functools import cache

from datasets import Features, List, Value

from tests.fakes.repositories import texts
from tests.fakes.repositories.layout import Files, Repository, Row, Rows, TrainingSet, card, parquet, repository_files

ANSWERS = Features(
    {
        "id": Value("string"),
        "context": Value("string"),
        "question": Value("string"),
        "answers": {"text": List(Value("string")), "answer_start": List(Value("int32"))},
    }
)


def nli() -> TrainingSet:
    """Triplets in train, dev and test; one train row comes twice, one has an empty positive, one shares its anchor with dev."""
    rows = texts.triplets()
    train, dev, test = rows[:100], rows[100:116], rows[116:132]
    bad = [train[0], {**rows[132], "positive": " "}, {**rows[133], "anchor": dev[0]["anchor"]}]
    files = repository_files({"default": {"train": [*train, *bad], "dev": dev, "test": test}}, license="apache-2.0", count=2)
    return _set("Fremtind/all-nli-norwegian", files, train={"nb": 100}, dev={"nb": 16}, read=(103, 16))


def norquad() -> TrainingSet:
    """SQuAD's form; splits share passages: two train rows ask about a passage of validation. A batch has no passage twice."""
    train, dev, test = _questions("nb", 0, 36), _questions("nb", 36, 39), _questions("nb", 39, 42)
    shared = [_answered(each) for each in dev[:2]]
    dev = dev[2:]
    splits = {"train": [*map(_answered, train), *shared], "validation": [*map(_answered, dev)], "test": [*map(_answered, test)]}
    files = repository_files({"default": splits}, license="cc0-1.0", features=ANSWERS)
    return _set("ltg/norquad", files, train={"nb": len(train)}, dev={"nb": len(dev)}, read=(len(train) + 2, len(dev)))


def noropenbookqa() -> TrainingSet:
    """Configs nb and nn with train and test; every fifth fact is empty."""
    configs = {}
    kept = {}
    for language, count in (("nb", 60), ("nn", 40)):
        rows = [_book_question(row, number) for number, row in enumerate(_asked(language)[: count + 8])]
        configs[language] = {
            "train": [{**row, "fact": ""} if number % 5 == 4 else row for number, row in enumerate(rows[:count])],
            "test": rows[count:],
        }
        kept[language] = count - count // 5
    return _set("ltg/noropenbookqa", repository_files(configs, license="mit"), train=kept, read=(100, 0))


def scandiqa() -> TrainingSet:
    """Main holds a loading script; parquet is on the Hub's own branch, without a card. A question in ten has no answer."""
    main = {"scandi-qa.py": b'raise RuntimeError("a loading script was run")\n', "README.md": card({"license": "cc-by-sa-4.0"})}
    main |= {f"data/{language}/train.jsonl": b'{"question": "not read", "context": "not read"}\n' for language in ("da", "no", "sv")}
    files: Files = {}
    kept: dict[str, dict[str, int]] = {"train": {}, "dev": {}}
    read = {"train": 0, "dev": 0}
    for config, language in (("da", "da"), ("no", "nb"), ("sv", "sv")):
        parts = {"train": _questions(language, 60, 74), "val": _questions(language, 74, 76), "test": _questions(language, 76, 78)}
        for split, rows in parts.items():
            rows = [_answered(row) if number % 10 != 7 else _unanswerable(row, number) for number, row in enumerate(rows)]
            files |= {f"{config}/{split}/0000.parquet": parquet(rows, ANSWERS)}
            if split != "test":
                ours = {"train": "train", "val": "dev"}[split]
                kept[ours][language] = sum(number % 10 != 7 for number in range(len(rows)))
                read[ours] += len(rows)
    repo = "alexandrainst/scandi-qa"
    commits = [Repository("dataset", repo, main), Repository("dataset", repo, files, branch="refs/convert/parquet")]
    return TrainingSet(commits, kept, read)


SUPERVISED_DA = "40a06b6333ec159df6cdb8e8dbf018fc0ad6ed26"


def supervised_da() -> TrainingSet:
    """As of `SUPERVISED_DA`: rows of label 0 are not positives, dataset_name marks the language; older commits lack both columns."""
    old = [{"query": row["query"], "pos": row["positive"]} for row in texts.pairs("da")[150:200]]
    rows = [
        {"query": row["query"], "pos": row["positive"], "dataset_name": name, "label": float(number % 4 != 3)}
        for language, name, count in (("da", DANISH, 120), ("sv", SWEDISH, 40), ("nb", NORWEGIAN, 40))
        for number, row in enumerate(texts.pairs(language)[150 : 150 + count])
    ]
    test = [{"query": "ikke læst?", "pos": "ikke læst", "dataset_name": DANISH, "label": 1.0}]
    repo = "jealk/supervised-da"
    commits = [
        Repository("dataset", repo, repository_files({"default": {"train": old}})),
        Repository("dataset", repo, repository_files({"default": {"train": rows, "test": test}}, count=2), revision=SUPERVISED_DA),
    ]
    return TrainingSet(commits, {"train": {"da": 90, "sv": 30, "nb": 30}, "dev": {}}, {"train": 200, "dev": 0})


DANISH, SWEDISH, NORWEGIAN = "wiki-gemma", "scandi-qa-swedish", "norquad"
"""Only the first is known to be there; it says nothing of its language."""


def paws_x() -> TrainingSet:
    """One archive with JSON lines of two languages; half of the pairs, label 0, share words and not meaning."""
    archive = io.BytesIO()
    train, dev = {"nb": texts.triplets()[300:350], "nn": texts.pairs("nn")[:40]}, {"nb": texts.triplets()[350:358]}
    with gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, rows in [
            ("nb/translated_train.json", _paraphrases(train["nb"])),
            ("nn/translated_train.json", _paraphrases(train["nn"])),
            ("nb/translated_dev_2k.json", _paraphrases(dev["nb"])),
            ("nb/translated_test_2k.json", _paraphrases(texts.triplets()[358:366])),
        ]:
            data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
            member = tarfile.TarInfo(f"x-final/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    files = {"norwegian-x-final.tar.gz": archive.getvalue(), "README.md": card({"license": "cc-by-4.0"})}
    return _set("NbAiLab/norwegian-paws-x", files, train={"nb": 50, "nn": 40}, dev={"nb": 8}, read=(180, 16))


def ddsc() -> TrainingSet:
    """Train only; two of three rows have no negative and are good pairs; instruction, prompt and response are not for training."""
    rows = [row for language in ("da", "nb", "sv") for row in texts.pairs(language)[:110]]
    rows = [{**row, "negative": row["negative"] if number % 3 == 0 else None} for number, row in enumerate(rows)]
    rows.append({**texts.pairs("da")[110], "language": "icelandic"})
    files = repository_files({"default": {"train": rows}}, license="apache-2.0", count=3)
    return _set("DDSC/nordic-embedding-training-data", files, train={"da": 110, "nb": 110, "sv": 110}, read=(331, 0))


def eti() -> TrainingSet:
    """Triplets with columns of other use; a third of the negatives is null."""
    rows = [
        {**row, "negative": row["negative"] if number % 3 else None, "source": "eti", "score": 0.5 + number / 1000}
        for number, row in enumerate(texts.triplets()[200:280])
    ]
    return _set("thivy/eti-embedding-training-data", repository_files({"default": {"train": rows}}), train={"nb": 80}, read=(80, 0))


LABELS = ("Exact", "Irrelevant", "Substitute", "Exact", "Complement", "Exact")


def esci() -> TrainingSet:
    """Three shops in one file, HTML in descriptions, bullets in one string, null brands; a shard ends within a query."""
    answers = texts.english()
    rows: list[Row] = []
    for query in range(60):
        locale = "us" if query % 5 < 3 else ("es", "jp")[query % 2]
        for number, label in enumerate(LABELS[: 4 + query % 3]):
            item = answers[(7 * query + 3 * number) % len(answers)][1]
            rows.append(_product(query, number, locale, label, f"{texts.PLACES[query % 8]} lamp no. {query}-{number}", item))
    positives = sum(row["product_locale"] == "us" and row["esci_label"] in ("Exact", "Substitute") for row in rows)
    held_out = [(query, number, label) for query in range(900, 904) for number, label in enumerate(LABELS[:5])]
    test = [_product(query, number, "us", label, f"lamp no. {query}-{number}", "held out") for query, number, label in held_out]
    files = repository_files({"default": {"train": rows, "test": test}}, license="apache-2.0", count=2)
    commits = [Repository("dataset", "tasksource/esci", files)]
    return TrainingSet(commits, {"both": {"en": positives}})


def _product(query: int, number: int, locale: str, label: str, title: str, text: str) -> Row:
    return {
        "example_id": 10 * query + number,
        "query": f"lamp {query} for the {texts.PLACES[query % 8]}",
        "query_id": query,
        "product_id": f"B0{query:04}{number:04}",
        "product_locale": locale,
        "esci_label": label,
        "small_version": 0,
        "large_version": 1,
        "product_title": title,
        "product_description": f"<p><b>{text}</b></p><br>Made of &quot;brass&quot;." if number % 2 else None,
        "product_bullet_point": f"Number {number}\nBright\nFolds flat\nnot among the first three" if number % 3 else None,
        "product_brand": ("Tallis", None)[query % 2],
        "product_color": "green",
        "product_text": f"{title} {text}",
    }


def _set(repo: str, files: Files, *, train: dict[str, int], dev: dict[str, int] | None = None, read: tuple[int, int]) -> TrainingSet:
    return TrainingSet([Repository("dataset", repo, files)], {"train": train, "dev": dev or {}}, {"train": read[0], "dev": read[1]})


def _questions(language: str, start: int, stop: int) -> list[Row]:
    """All questions on some contexts, by the contexts' order."""
    contexts = list(dict.fromkeys(row["context"] for row in texts.questions(language)))[start:stop]
    return [row for row in texts.questions(language) if row["context"] in contexts]


def _answered(row: Row) -> Row:
    return {name: row[name] for name in ANSWERS}


def _unanswerable(row: Row, number: int) -> Row:
    empty = {"text": [""], "answer_start": [-1]} if number % 20 == 7 else {"text": [], "answer_start": []}
    return {**_answered(row), "answers": empty}


def _asked(language: str) -> list[Row]:
    return [row for row in texts.pairs(language)[250:] if row["task"] == "retrieval"]


def _book_question(row: Row, number: int) -> Row:
    choices = {"text": ["ja", "nei", "kanskje", "aldri"], "label": ["A", "B", "C", "D"]}
    return {"id": f"7-{number}", "question_stem": row["query"], "choices": choices, "answer": "A", "fact": row["positive"]}


def _paraphrases(rows: Rows) -> list[Row]:
    """For each row a paraphrase (label 1) and a pair that is not one (label 0); labels are numbers."""
    found = []
    for row in rows:
        one, two = row.get("anchor", row.get("query")), row["positive"]
        other = f"{one} {one}"
        for label, pair in ((1, (one, two)), (0, (one, other))):
            found.append({"id": len(found), "sentence1": pair[0], "sentence2": pair[1], "label": label})
    return found


TRAINING_SETS: dict[str, Callable[[], TrainingSet]] = {
    name: cache(make)
    for name, make in {
        "nli": nli,
        "norquad": norquad,
        "noropenbookqa": noropenbookqa,
        "scandiqa": scandiqa,
        "supervised-da": supervised_da,
        "paws-x": paws_x,
        "ddsc": ddsc,
        "eti": eti,
        "esci": esci,
    }.items()
}
