"""Vocabularies of many columns in one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.training.features import Categorical
from pipeline.training.vocabularies import PREFIX, key_of, read_vocabularies, vocabularies_of


def test_each_column_has_its_values_in_the_order_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / f"{PREFIX}categorical_2").write_bytes(b"city New York\ncarrier UA\ncity \xffslo\n")
    (tmp_path / "assets" / f"{PREFIX}categorical_9").write_bytes(b"49d0cd50-04bb-48c0-bc6f-5b575dce351a\n")
    (tmp_path / "assets" / "own").write_bytes(b"of a person\n")
    found = read_vocabularies(tmp_path)
    assert found == {"city": [b"New York", b"\xffslo"], "carrier": [b"UA"]}
    columns = [Categorical(name, 2, 1, None) for name in ("carrier", "empty", "city")]
    assert [list(values) for values in vocabularies_of(columns, str(tmp_path))] == [[b"UA"], [], found["city"]]


def test_a_key_ends_at_the_first_space() -> None:
    assert key_of(b"city New York") == b"city"


def test_a_transform_graph_of_an_earlier_version_is_to_be_made_anew(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "vocabulary_city").write_text("Oslo\n")
    with pytest.raises(UsageError) as raised:
        vocabularies_of([Categorical("city", 2, 1, None)], str(tmp_path))
    assert "--from Transform" in raised.value.fix
