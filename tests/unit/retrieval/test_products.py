"""A shop's own products and graded judgements as a retrieval set."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.retrieval.products import CHUNK, Products
from stages.retrieval.sets import RetrievalSet, load_sets, read_sets, write_sets
from tests.refused import refused

PRODUCTS = "id;title;brand;description;bullets\n1;Kjele;Røros;Koker <b>vann</b>;rask\n2;Panne;;;\n3;Gryte;;;\n4; ;;;\n"
JUDGEMENTS = "query;product_id;grade\nkjøkken;1;Exact\nkjøkken;2;S\nkjøkken;3;irrelevant\nstek;2;c\n"


def load(folder: Path, products: str = PRODUCTS, judgements: str = JUDGEMENTS, **options: object) -> RetrievalSet:
    (folder / "products.csv").write_text(products, encoding="utf-8-sig")
    (folder / "judgements.csv").write_text(judgements, encoding="utf-8-sig")
    [found] = load_sets(folder, "shop", "products", **options)  # type: ignore[arg-type]
    return found


def test_products_read_as_in_training_and_judgements_have_escis_grades(tmp_path: Path) -> None:
    found = load(tmp_path, language="nb")
    assert (found.name, found.language, found.nano) == ("shop", "nb", False)
    assert found.corpus == {"1": "[Røros] Kjele | Koker vann | rask", "2": "Panne", "3": "Gryte"}
    assert found.queries == {"q1": "kjøkken", "q2": "stek"}
    assert found.qrels == {"q1": {"1": 1.0, "2": 0.7}, "q2": {"2": 0.5}}
    assert found.judged == {"q1": ["1", "2", "3"], "q2": ["2"]}
    assert found.recalls == {"exact": 1.0, "exact_substitute": pytest.approx(2 / 3)}


@pytest.mark.parametrize("grades", [("3", "2", "0"), ("3,0", "2,0", "0,0")])
def test_numbers_are_grades_of_their_own_scale(tmp_path: Path, grades: tuple[str, ...]) -> None:
    rows = "".join(f"q;{number};{grade}\n" for number, grade in enumerate(grades, start=1))
    found = load(tmp_path, judgements=f"query;id;relevance\n{rows}")
    assert found.qrels == {"q1": {"1": 3.0, "2": 2.0}}
    assert found.recalls == {"exact": 3.0, "exact_substitute": 2.0}


def test_parquet_holds_lists_of_bullets_numbers_and_nulls(tmp_path: Path) -> None:
    products = {"sku": [1, 2], "name": ["Kjele", "Panne"], "brand": [None, "Røros"], "features": [["rask", "rød"], None]}
    pq.write_table(pa.table(products), tmp_path / "products.parquet")
    pq.write_table(pa.table({"query": ["kjele"], "sku": [1], "label": [0.7]}), tmp_path / "judgements.parquet")
    [found] = load_sets(tmp_path, "shop", "products")
    assert found.corpus == {"1": "Kjele | rask; rød", "2": "[Røros] Panne"}
    assert found.qrels == {"q1": {"1": 0.7}}


def test_both_unicode_forms_of_a_query_are_one_and_its_judgements_may_be_repeated(tmp_path: Path) -> None:
    rows = "query,product_id,grade\nblåbær,1,E\nbla\u030abær ,1,exact\n"
    assert load(tmp_path, judgements=rows).queries == {"q1": "blåbær"}


def test_another_file_of_judgements_and_a_shorter_text_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("query,id,grade\nannet,2,E\n")
    found = load(tmp_path, split="dev", max_tokens=3)
    assert (found.queries, found.corpus["1"]) == ({"q1": "annet"}, "[Røros]")


@pytest.mark.parametrize(
    ("products", "judgements", "line"),
    [
        ("id,brand\n1,a\n", JUDGEMENTS, 'products.csv … no column "title"'),
        ("id,title\n1,a\n1,b\n", JUDGEMENTS, "products.csv: line 3 … '1' a second time"),
        ("id,title\n,a\n", JUDGEMENTS, "products.csv: line 2 … empty"),
        ("id,title\n1,\n", JUDGEMENTS, "document"),
        (PRODUCTS, "query,grade\nq,1\n", 'judgements.csv … no column "product_id"'),
        (PRODUCTS, "query,id,grade\n ,1,E\n", "judgements.csv: line 2 … no query"),
        (PRODUCTS, "query,id,grade\nq,1,good\n", "judgements.csv: line 2 … grade 'good' … exact"),
        (PRODUCTS, "query,id,grade\nq,1,\n", "judgements.csv: line 2 … grade ''"),
        (PRODUCTS, "query,id,grade\nq,1,-1\n", "judgements.csv: line 2 … grade '-1'"),
        (PRODUCTS, "query,id,grade\nq,1,nan\n", "judgements.csv: line 2 … grade 'nan'"),
        (PRODUCTS, "query,id,grade\nq,1,E\nq,2,3\n", "judgements.csv: line 3 … grade '3' … words"),
        (PRODUCTS, "query,id,grade\nq,1,E\nq,2,\n", "judgements.csv: line 3 … grade '' … exact"),
        (PRODUCTS, "query,id,grade\nq,1,E\nq,1,S\n", "judgements.csv: line 3 … second grade"),
        (PRODUCTS, "query,id,grade\nq,9,E\n", "judgements.csv: line 2 … document '9'"),
        (PRODUCTS, "query,id,grade\nq,1,I\n", "judgements.csv … no query has a relevant document"),
        (PRODUCTS, "query,id,grade\n", "judgements.csv … no query has a relevant document"),
    ],
)
def test_a_fault_names_file_and_row(tmp_path: Path, products: str, judgements: str, line: str) -> None:
    with refused(line):
        load(tmp_path, products, judgements)


def test_the_texts_of_many_products_keep_their_order(tmp_path: Path) -> None:
    products = Products()
    for number in range(CHUNK + 3):
        products.add(f"p{number}", (f"title {number}", None, None, None))
    assert list(products.corpus().items())[CHUNK - 1 :] == [(f"p{n}", f"title {n}") for n in range(CHUNK - 1, CHUNK + 3)]


def test_judgements_survive_the_file_that_training_reads(tmp_path: Path) -> None:
    found = load(tmp_path)
    write_sets([found], tmp_path / "sets.json")
    assert read_sets(tmp_path / "sets.json") == [found]
