"""retrieval.json: what is written is read; mistakes are errors that name file and key."""

import json
from dataclasses import replace

import pytest

from stages.retrieval.treatment import FILE, Treatment
from stages.runtime.errors import UserError


def test_a_folder_without_the_file_has_the_default(tmp_path):
    assert Treatment.read(tmp_path) == Treatment("cut", None, 0, None, None)


def test_what_is_written_is_read(tmp_path):
    treatment = replace(Treatment(), long_documents="max_score", window=96, overlap=16, max_document_dims=120)
    treatment.write(tmp_path)
    assert Treatment.read(tmp_path) == treatment
    assert json.loads((tmp_path / FILE).read_text()) == {
        "long_documents": "max_score",
        "window": 96,
        "overlap": 16,
        "max_document_dims": 120,
        "max_query_dims": None,
    }


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "must hold a JSON object"),
        ("[]", "must hold a JSON object"),
        ('{"windows": 3}', "windows: is not a key"),
        ('{"max_query_dims": 0}', "max_query_dims: must be greater than 0, got 0"),
        ('{"max_document_dims": 1.5}', "max_document_dims: must be"),
        ('{"long_documents": "split"}', "long_documents: must be"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path, content, fault):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(UserError, match=FILE) as error:
        Treatment.read(tmp_path)
    assert fault in str(error.value) and len(str(error.value).splitlines()) == 1
