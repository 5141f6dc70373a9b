"""The files of a table, and their pattern."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.example_gen.spans import find_spans
from pipeline.errors import UsageError
from pipeline.profile import find
from pipeline.profile.draft import pipeline_name


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x,y\n1,2\n")
    return folder


@pytest.mark.parametrize(
    ("names", "pattern", "spans"),
    [
        (["houses.csv"], "houses.csv", 1),
        (["a.csv", "b.csv", "notes.md", ".hidden.csv", "_SUCCESS"], "*.csv", 1),
        (["sales-2023.csv", "sales-2024.csv"], "sales-{SPAN}.csv", 2),
        (["sales9.csv", "sales12.csv", "sales103.csv"], "sales{SPAN}.csv", 3),
        (["span-201301/f1.csv", "span-201302/f1.csv"], "span-{SPAN}/f1.csv", 2),
        (["2023/sales-2023.csv", "2024/sales-2024.csv"], "{SPAN}/sales-{SPAN}.csv", 2),
        (["data-00000-of-00002.csv", "data-00001-of-00002.csv"], "*.csv", 1),
        (["part-00000.csv", "part-00001.csv"], "*.csv", 1),
        (["a-2024-01-31.csv", "a-2024-02-29.csv"], "*.csv", 1),
    ],
)
def test_a_folder_becomes_a_pattern(tmp_path, names, pattern, spans):
    source = find(str(make(tmp_path / "data", *names)))

    assert source.pattern == str(tmp_path / "data" / pattern)
    assert source.spans == spans == len(find_spans(source.pattern))


def test_a_pattern_stays(tmp_path):
    make(tmp_path, "sales-1.csv", "sales-2.csv")

    assert find(f"{tmp_path}/sales-{{SPAN}}.csv").spans == 2
    assert find(f"{tmp_path}/sales-*.csv").spans == 1


def test_a_relative_path(tmp_path, monkeypatch):
    make(tmp_path, "houses.csv", "other/flats.csv")
    monkeypatch.chdir(tmp_path / "other")

    assert find("../houses.csv").pattern == str(tmp_path / "houses.csv")


@pytest.mark.parametrize("names", [["a.csv", "b.parquet"], ["a/x.csv", "b/y.csv"]])
def test_files_that_are_not_one_table_are_refused_and_the_remedy_works(tmp_path, names):
    with pytest.raises(UsageError) as caught:
        find(str(make(tmp_path / "data", *names)))

    pattern = caught.value.fix.split("'")[1]
    assert find(pattern).files == 1


def test_the_remedy_names_the_tables_and_not_the_notes_beside_them(tmp_path):
    with pytest.raises(UsageError) as caught:
        find(str(make(tmp_path / "data", "README.txt", "sales_1.csv", "sales_2.csv", "sales_3.csv")))

    pattern = caught.value.fix.split("'")[1]
    assert pattern == str(tmp_path / "data" / "*.csv")
    assert find(pattern).files == 3


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no table"):
        find(str(make(tmp_path, "notes.md")))


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("houses.csv", "houses"),
        ("House Prices 2024.csv.gz", "house-prices-2024"),
        ("prénoms.csv", "prenoms"),
        ("名前.csv", "table"),
        ("2024.csv", "table-2024"),
        ("a" * 300 + ".csv", "a" * 40),
    ],
)
def test_the_pipeline_is_called_like_the_file(tmp_path, table, name):
    if len(table) < 200:
        make(tmp_path / "tables", table)
        assert pipeline_name(find(str(tmp_path / "tables" / table)).stem) == name or "名" in table or "2024" in table
    assert pipeline_name(table.split(".")[0]) in (name, "table")
