"""Small versions of the profiles' evaluation sets: NanoBEIR in English and by language, and the MTEB tasks in the form that mteb reads.

The revisions are those that mteb's own metadata pins; `evaluation_sets` yields the commits of all repositories.
"""

from collections.abc import Iterator

from datasets import ClassLabel, Features, Value

from tests.fakes.repositories import texts
from tests.fakes.repositories.layout import Files, Repository, Row, Rows, parquet, repository_files

NANO = {  # name in NanoBEIR: (name in mteb's benchmark NanoBEIR-multilingual, revision)
    "NanoArguAna": ("NanoArguAna", "c0b2a891577e87141baf768b28e7acb997ac5680"),
    "NanoClimateFEVER": ("NanoClimateFever", "2fe8eb61630d248dc0bd1a13e4b7f6406b4a3e2a"),
    "NanoDBPedia": ("NanoDBPedia", "d190b64f4888205f70b5bfdd4fdf806100139dd0"),
    "NanoFEVER": ("NanoFEVER", "58c0c39b5718de4c64ba115e30ae830f25fc6c62"),
    "NanoFiQA2018": ("NanoFiQA2018", "6af7d1d165dab5c41840440ee33373d3a459483a"),
    "NanoHotpotQA": ("NanoHotpotQA", "d226781cb805c360229d14c2efa8672d11226075"),
    "NanoMSMARCO": ("NanoMSMARCO", "f579311c703483afcec3062f58fe69e9f0813843"),
    "NanoNFCorpus": ("NanoNFCorpus", "4484b487f178125827f7dda052f1b2f5673548d6"),
    "NanoNQ": ("NanoNQ", "4104e3376fe243f0bd4845e204b01c0fc3f7d1d7"),
    "NanoQuoraRetrieval": ("NanoQuora", "eb9418faade7449e869be388846f287aa3535b64"),
    "NanoSCIDOCS": ("NanoSCIDOCS", "06cff48c8ebea5f46e3effa29573fc22a5b9d8fc"),
    "NanoSciFact": ("NanoSciFact", "3e75543b8006c013ec14d36a17dd3010eb139f72"),
    "NanoTouche2020": ("NanoTouche2020", "cc244b553d65a88fb66d913907146fe4c33aef29"),
}
OWN_QUERIES = ("NanoArguAna", "NanoQuoraRetrieval")
"""Sets whose queries are documents too, under the same id."""
QUERIES, DISTRACTORS = 4, 8
"""Of each NanoBEIR set and language."""

Parts = dict[str, list[Row]]


def parts(pairs: list[tuple[str, str]], distractors: list[str], own_queries: bool = False) -> Parts:
    """Corpus, queries and qrels of (query, its document) pairs; with ``own_queries`` every query is a document too."""
    documents = [text for _, text in pairs]
    corpus = [{"_id": f"d{number}", "text": text} for number, text in enumerate([*documents, *distractors])]
    queries = [{"_id": f"q{number}", "text": text} for number, (text, _) in enumerate(pairs)]
    if own_queries:
        corpus += queries
    qrels = [{"query-id": f"q{number}", "corpus-id": f"d{number}", "score": 1} for number in range(len(pairs))]
    return {"corpus": corpus, "queries": queries, "qrels": qrels}


def by_language(language: str, number: int, own_queries: bool) -> Parts:
    """The set of that number in one language of the built-in sample."""
    corpus, asked = texts.search(language)
    relevant = {document for _, document in asked}
    others = [text for document, text in corpus.items() if document not in relevant]
    some = asked[number * QUERIES : (number + 1) * QUERIES]
    distractors = others[number * DISTRACTORS : (number + 1) * DISTRACTORS]
    return parts([(query, corpus[document]) for query, document in some], distractors, own_queries)


def nanobeir_english() -> Repository:
    """One config per part and one split per set; a query's documents are a list."""
    configs: dict[str, dict[str, Rows]] = {"corpus": {}, "queries": {}, "qrels": {}}
    for number, name in enumerate(NANO):
        start = number * (QUERIES + DISTRACTORS)
        some = texts.english()[start : start + QUERIES + DISTRACTORS]
        made = parts(some[:QUERIES], [text for _, text in some[QUERIES:]], name in OWN_QUERIES)
        made["qrels"] = [{"query-id": row["query-id"], "corpus-id": [row["corpus-id"]]} for row in made["qrels"]]
        for part, rows in made.items():
            configs[part][name] = rows
    return Repository("dataset", "sentence-transformers/NanoBEIR-en", repository_files(configs))


def nanobeir_multilingual() -> Iterator[Repository]:
    """One repository per set; the configs are corpus, queries and qrels of each language. No profile uses English or German."""
    for number, (name, (task, revision)) in enumerate(NANO.items()):
        configs: dict[str, dict[str, Rows]] = {}
        for subset, language in (("de", "da"), ("en", "da"), ("no", "nb"), ("sv", "sv")):
            for part, rows in by_language(language, number, name in OWN_QUERIES).items():
                renamed = [{("id" if key == "_id" else key): value for key, value in row.items()} for row in rows]
                configs[f"{subset}-{part}"] = {"test": renamed}
        files = repository_files(configs, license="cc-by-4.0")
        yield Repository("dataset", f"mteb/Multilingual{task}Retrieval", files, revision=revision)


def norquad_task() -> Repository:
    """The rows of SQuAD's form; mteb makes a corpus of contexts and of bare answers."""
    rows = [row for row in texts.questions("nb") if row["context"] in {each["context"] for each in texts.questions("nb")[260:290]}]
    chosen = [{key: row[key] for key in ("id", "context", "question", "answers")} for row in rows]
    files = repository_files({"default": {"test": chosen}}, license="cc-by-sa-4.0")
    return Repository("dataset", "mteb/norquad_retrieval", files, revision="9dcfcdb2aa578dd178330d49bf564248935f7fbe")


def snl_task() -> Repository:
    """Headlines and articles in three splits, and a second copy as a CSV file that mteb does not read."""
    corpus, asked = texts.search("nb")
    rows = [
        {"id": number, "headline": query, "category": "by", "ingress": "", "article": corpus[document]}
        for number, (query, document) in enumerate(asked[56:80])
    ]
    files = repository_files({"default": {"train": rows[:8], "validation": rows[8:12], "test": rows[12:]}}, license="cc-by-nc-4.0")
    files["SNL_summarization.csv"] = b"id,headline,article\n" + b"1,not needed,not needed\n" * 1000
    revision = "22c474c88fb4678052f9099bb917ad8f9e155f9f"
    return Repository("dataset", "adrlau/navjordj-SNL_summarization_copy", files, revision=revision)


def swedn_task() -> Repository:
    """mteb's own form, with a title, in three splits of which one is scored."""
    splits = {split: by_language("sv", number, False) for number, split in ((14, "test"), (15, "validation"), (16, "train"))}
    configs = {part: {split: _titled(made[part], part) for split, made in splits.items()} for part in ("corpus", "qrels", "queries")}
    files = repository_files(configs, license="cc-by-sa-4.0")
    return Repository("dataset", "mteb/SwednRetrieval", files, revision="3920fa0e9ae78f6af3d8a20b33b39e1f9acdfdf9")


def swefaq_task() -> Repository:
    """mteb's own form."""
    made = by_language("sv", 17, False)
    files = repository_files({part: {"test": _titled(rows, part)} for part, rows in made.items()}, license="cc-by-sa-4.0")
    return Repository("dataset", "mteb/SweFaqRetrieval", files, revision="208cb812631068a4bd8b93c8b9291370b47f282c")


def danfever_task() -> Repository:
    """A commit of the Hub's own parquet branch: no card. Half of the claims are refuted and so have no relevant document."""
    features = Features(
        {
            "id": Value("int32"),
            "claim": Value("string"),
            "label": ClassLabel(names=["Refuted", "Supported", "NotEnoughInfo"]),
            "evidence_extract": Value("string"),
            "verifiable": ClassLabel(names=["NotVerifiable", "Verifiable"]),
            "evidence": Value("string"),
            "original_id": Value("string"),
        }
    )
    corpus, asked = texts.search("da")
    rows = [
        {"id": number, "claim": query, "label": number % 2, "evidence_extract": corpus[document]}
        | {"verifiable": 1, "evidence": "wiki_1", "original_id": str(number)}
        for number, (query, document) in enumerate(asked[:16])
    ]
    files: Files = {"default/train/0000.parquet": parquet(rows, features)}
    branch, revision = "refs/convert/parquet", "3b17b754ed5bf356582b93ec11d1c72469f7bb9c"
    return Repository("dataset", "strombergnlp/danfever", files, branch=branch, revision=revision)


TV2NORD_ROWS = 2048
"""mteb samples this many rows of every split; a split with fewer does not load."""


def tv2nord_task() -> Repository:
    """Summaries and articles; the texts are short because they are many."""
    splits = {
        split: [{"summary": f"nyt nr. {number} {split}", "text": f"artikel {number} fra {split}"} for number in range(TV2NORD_ROWS)]
        for split in ("train", "val", "test")
    }
    files = repository_files({"default": splits}, license="cc0-1.0")
    revision = "80cdb115ec2ef46d4e926b252f2b59af62d6c070"
    return Repository("dataset", "alexandrainst/nordjylland-news-summarization", files, revision=revision)


def twitterhjerne_task() -> Repository:
    """The scored split is called train; a question has several answers."""
    made = by_language("da", 10, False)
    made["qrels"] += [{**row, "corpus-id": f"d{QUERIES + number}"} for number, row in enumerate(made["qrels"])]
    files = repository_files({part: {"train": _titled(rows, part)} for part, rows in made.items()}, license="cc-by-4.0")
    return Repository("dataset", "mteb/TwitterHjerneRetrieval", files, revision="97ad55673cf9746f8e4b3aaa92b1bb92d82e52db")


def _titled(rows: Rows, part: str) -> list[Row]:
    return [{**row, "title": ""} if part == "corpus" else row for row in rows]


TASKS = {  # task: (queries, documents) that mteb scores
    "NorQuadRetrieval": None,
    "SNLRetrieval": (12, 12),
    "SwednRetrieval": (QUERIES, QUERIES + DISTRACTORS),
    "SweFaqRetrieval": (QUERIES, QUERIES + DISTRACTORS),
    "DanFeverRetrieval": (16, 16),
    "TV2Nordretrieval": (TV2NORD_ROWS, TV2NORD_ROWS),
    "TwitterHjerneRetrieval": (QUERIES, QUERIES + DISTRACTORS),
}


def evaluation_sets() -> Iterator[Repository]:
    """The commits of all repositories."""
    yield nanobeir_english()
    yield from nanobeir_multilingual()
    for make in (norquad_task, snl_task, swedn_task, swefaq_task, danfever_task, tv2nord_task, twitterhjerne_task):
        yield make()
