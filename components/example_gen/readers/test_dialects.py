"""Tables in all kinds of dialects, cut as DuckDB's sniffer cuts them, or better where it says why."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.readers.cleaning import Cleaned
from components.example_gen.readers.delimited import DelimitedFile
from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.records import records
from components.example_gen.readers.sniffing import find_dialect
from pipeline.config import Csv
from pipeline.errors import DataError

Cells = list[list[str | None]]


def cut(path: Path, **known: Any) -> tuple[list[str], Cells]:
    file = DelimitedFile(str(path), find_dialect([str(path)], Csv(**known)))
    return file.names, [list(row.values()) for batch in file.batches(file.names) for row in batch.to_pylist()]


def duckdb_cut(path: Path) -> tuple[list[str], Cells]:
    # An empty field in quotes is null here, and an empty text there.
    table = duckdb.read_csv(str(path), all_varchar=True)
    return table.columns, [[cell or None for cell in row] for row in table.fetchall()]


SAME = {
    "commas": "a,b,c\n1,x,2.5\n2,y,3.5\n",
    "semicolons and decimal commas": "a;b;c\n1,5;x;2\n2,5;y;3\n",
    "tabs": "a\tb\nDoe, John\t5\nRoe, Jane\t6\n",
    "pipes": "a|b|c\n1|2|x\n3|4|y\n",
    "one column of numbers": "x\n1\n2\n",
    "one column of words": "name\nJohn Smith\nJane Roe\n",
    "a blank line in one column": "x\n1\n\n3\n",
    "a blank line at the beginning": "\n\nx,y\n1,2\n",
    "blank lines between rows": "x,y\n1,2\n\n3,4\n\n",
    "a title": "Report 2013\n\nx,y\n1,2\n3,4\n",
    "carriage returns and line feeds": "x,y\r\n1,2\r\n3,4\r\n",
    "carriage returns": "x,y\r1,2\r3,4\r",
    "no line break at the end": "x,y\n1,2\n3,4",
    "a byte order mark": "\ufeffx,y\n1,2\n",
    "quotes": 'a,b\n"x, ""y""","line 1\nline 2"\n"",ü\n',
    "single quotes": "a,b\n'x,1',2\n'y,2',3\n",
    "apostrophes": "a,b\nTom's,1\nit's,2\n",
    "escaped quotes": 'a,b\n"x \\"q, r\\" z",2\n"y",3\n',
    "no header above numbers": "5.1,3.5,setosa\n4.9,3.0,virginica\n",
    "a header above words and numbers": "color,size\nred,1\nblue,2\n",
    "a column without values": "a,b\n,1\n,2\n",
    "an unnamed column": ",a,b\n0,1,2\n1,3,4\n",
    "quotes within words": 'a,b\n5" pipe,1\n6" pipe,2\n',
    "JSON in a cell": 'id,j\n1,"{""a"": 1, ""b"": 2}"\n2,"{""a"": 1}"\n',
    "times": "t,v\n12:30,1\n13:45,2\n",
    "dates": "d;v\n31.01.2013;1,5\n01.02.2013;2,5\n",
    "a zero byte": "x,y\n1,a\0b\n",
    "2,000 columns": "\n".join(",".join(f"{prefix}{number}" for number in range(2_000)) for prefix in ("c", "", "")) + "\n",
    "a field of 300,000 characters": "x,y\n1," + "z" * 300_000 + "\n2,b\n",
    "quoted numbers": '"a","b"\n"1","2"\n"3","4"\n',
    "spaces after commas": "a,b\n1, x\n2, y\n",
    "rows that begin like comments": "a,b\n#,1\n+,2\n#,3\n",
    "quotes at the ends of lines between pipes": 'a|b\r\n1|"x"\r\n2|"y\r\nz"\r\n',
    "accents": "prénom,âge\nZoé,3\nRené,4\n",
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_cells_are_those_of_duckdb(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    assert cut(path) == duckdb_cut(path)


OWN = {
    "decimal commas without a header: columns of numbers, not of halves of them": (
        b"1,5;2,5\n3,5;4,5\n",
        ["column0", "column1"],
        [["1,5", "2,5"], ["3,5", "4,5"]],
    ),
    "a title as wide as the table, as spreadsheets write it": (
        b"Sales report 2023,,,\n,,,\nsize,count,colour,bought\n1,2,red,0\n3,4,blue,1\n",
        ["size", "count", "colour", "bought"],
        [["1", "2", "red", "0"], ["3", "4", "blue", "1"]],
    ),
    "a title of one word above empty fields": (
        b"Sales,,\n,,\na,b,c\n1,2,3\n",
        ["a", "b", "c"],
        [["1", "2", "3"]],
    ),
    "a header with a single name is a header": (b"a,,\n1,2,3\n", ["a", "column1", "column2"], [["1", "2", "3"]]),
    "delimiters at the ends of rows make no column": (b"a,b,\n1,2,\n3,4,\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
    "delimiters at the ends of rows but not of the header": (b"a,b\n1,2,\n3,4,\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
    "names of rows without a name of their own, as R writes them": (
        b"a,b\nr1,1,2\nr2,3,4\n",
        ["column0", "a", "b"],
        [["r1", "1", "2"], ["r2", "3", "4"]],
    ),
    "words that come again are no names": (
        b"red,small\nblue,large\nred,large\n",
        ["column0", "column1"],
        [["red", "small"], ["blue", "large"], ["red", "large"]],
    ),
    "years are names": (b"land,2010,2011\nA,1,2\nB,3,4\n", ["land", "2010", "2011"], [["A", "1", "2"], ["B", "3", "4"]]),
    "Excel's own first line": (b"sep=;\na;b\n1;2\n", ["a", "b"], [["1", "2"]]),
    "comments among the rows": (b"# made, by hand\nx,y\n1,2\n# later\n3,4\n", ["x", "y"], [["1", "2"], ["3", "4"]]),
    "a comment sign in a quoted field": (b'x,y\n# later\n1,"a\n#b"\n3,4\n', ["x", "y"], [["1", "a\n#b"], ["3", "4"]]),
    "names that are repeated": (b"x,x,x_1\n1,2,3\n", ["x", "x_2", "x_1"], [["1", "2", "3"]]),
    "spaces around names": (b"a , b\n1,2\n3,4\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
    "numbers with spaces between": (b"a b c\n1 2 3\n4 5 6\n", ["a", "b", "c"], [["1", "2", "3"], ["4", "5", "6"]]),
    "MySQL's null beside escaped quotes": (
        b'a,b,c\n1,"say \\"hi\\" now",x\n\\N,\\N,\\N\n',
        ["a", "b", "c"],
        [["1", 'say "hi" now', "x"], [None, None, None]],
    ),
    "UTF-16": ("x,y\n1,é\n".encode("utf-16"), ["x", "y"], [["1", "é"]]),
    "UTF-16 without a mark": ("x\ty\n1\ta\n".encode("utf-16-be"), ["x", "y"], [["1", "a"]]),
    "UTF-32": ("x,y\n1,é\n".encode("utf-32"), ["x", "y"], [["1", "é"]]),
    "Windows' Western European": ("x,y\n1,Müller\n2,€ 5\n".encode("cp1252"), ["x", "y"], [["1", "Müller"], ["2", "€ 5"]]),
    "Windows' Central European": (
        "imię,miasto\nŁukasz,Łódź\nZbigniew,Kraków\n".encode("cp1250"),
        ["imię", "miasto"],
        [["Łukasz", "Łódź"], ["Zbigniew", "Kraków"]],
    ),
    "quotes that mean nothing between tabs": (
        b'a\tb\n"Weird Al" Y\t1\n"foo\t2\nx\t3\n',
        ["a", "b"],
        [['"Weird Al" Y', "1"], ['"foo', "2"], ["x", "3"]],
    ),
}


@pytest.mark.parametrize(("content", "names", "rows"), OWN.values(), ids=OWN)
def test_cells_where_duckdb_has_others(tmp_path: Path, content: bytes, names: list[str], rows: Cells) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert cut(path) == (names, rows)


SETTINGS = {
    "delimiter": ({"delimiter": "~"}, "a~b\n1~2\n", ["a", "b"], [["1", "2"]]),
    "another than the sample's": ({"delimiter": "\t"}, "text\nHello, world\n", ["text"], [["Hello, world"]]),
    "no quotes": ({"quote": ""}, 'a,b\n"x,1\n', ["a", "b"], [['"x', "1"]]),
    "a header of numbers": ({"header": True}, "1,2\n3,4\n", ["1", "2"], [["3", "4"]]),
    "no header of words": ({"header": False}, "a,b\n1,2\n", ["column0", "column1"], [["a", "b"], ["1", "2"]]),
    "names": ({"header": ["x", "y"]}, "a,b\n1,2\n", ["x", "y"], [["a", "b"], ["1", "2"]]),
    "comments": ({"comment": "%"}, "%x\na,b\n1,2\n%y\n", ["a", "b"], [["1", "2"]]),
    "nulls": ({"nulls": ["-", "N/A"]}, "a,b\n-,N/A\nNA,2\n", ["a", "b"], [[None, None], ["NA", "2"]]),
    "encoding": ({"encoding": "mac-roman"}, "a,b\né,2\n", ["a", "b"], [["é", "2"]]),
}


@pytest.mark.parametrize(("known", "text", "names", "rows"), SETTINGS.values(), ids=SETTINGS)
def test_what_is_set_is_not_found_out(tmp_path: Path, known: dict[str, str], text: str, names: list[str], rows: Cells) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(known.get("encoding", "utf-8")))
    assert cut(path, **known) == (names, rows)


@pytest.mark.parametrize(
    ("text", "decimal", "thousands"),
    [
        ("a;b\n1,5;2\n", ",", None),
        ("a;b\n1.5;2\n", ".", None),
        ("a;b\n1,5;2.5\n", ".", None),
        ("a;b\n1,234;2,345\n", ",", None),
        ("a;b\n1.234,56;2.000,00\n", ",", "."),
        ("a;b\n1.234.567;2\n1,5;3\n", ",", "."),
        ("a;b\n1,5;31.01.2013\n", ",", None),
        ('a,b\n"1,234",2\n', ".", ","),
        ('a,b\n"1,234,567.5",2\n', ".", ","),
        ('a,b\n"1,234","1,5"\n', ",", None),
        ('a,b\n"1,5",2\n"20,25",3\n', ",", None),
        ('a,b\n"1.234,50 €",x\n"86,20 €",y\n', ",", "."),
        ('a,b\n"1,5",2\n"2,5",3.5\n', ".", None),
        ('tags,b\n"1,5",2\n"1,2,3",3\n', ".", None),
        ('tags,b\n"1,5","2,5"\n"1,2,3","3,5"\n', ",", None),
        ("a\tb\n1,234.5\t2\n", ".", ","),
        ("a;b\n1.234,50 €;2.345\n86,20 €;17\n", ",", "."),
        ("a;b\n1.234,50 €;31.01.2013\n2.000,00 €;28.02.2013\n", ",", "."),
        ("a;b\n20,5 °C;1\n", ",", None),
        ("a;b\nv1.5;2,5\n", ",", None),
    ],
)
def test_marks_in_numbers(tmp_path: Path, text: str, decimal: str, thousands: str | None) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    found = find_dialect([str(path)], Csv())
    assert (found.decimal, found.thousands) == (decimal, thousands)


def test_the_files_of_a_table_have_one_dialect(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a;b\n1;2\n")
    (tmp_path / "2.csv").write_text("a,b\n1,2\n")
    paths = [str(tmp_path / name) for name in ("1.csv", "2.csv")]
    with pytest.raises(DataError) as caught:
        find_dialect(paths, Csv())
    assert caught.value.where == paths[1]
    (tmp_path / "2.csv").write_text("a;b\n1;2\n")
    assert find_dialect(paths, Csv()).delimiter == ";"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,5" disk,1\n#old,z,0\nc,z,1\n', [["a", '5" disk', "1"], ["c", "z", "1"]]),
        ('a,"5"" disk",1\n#old,z,0\nc,"""",1\n# end\n', [["a", '5" disk', "1"], ["c", '"', "1"]]),
        ('a,"""x\n# y""",1\n#old,z,0\nc,z,1\n', [["a", '"x\n# y"', "1"], ["c", "z", "1"]]),
        ('a,"x"y",1\n#old,z,0\nc,"",1\n# end\n', [["a", 'xy"', "1"], ["c", None, "1"]]),
        ('"a","q \\"r, s",1\n#old,z,0\nc,z,1\n', [["a", 'q "r, s', "1"], ["c", "z", "1"]]),
        ('"a","q \\"r \\\\",1\n#old,z,0\nc,z,1\n', [["a", 'q "r \\', "1"], ["c", "z", "1"]]),
    ],
)
def test_comments_after_cells_with_quotes(tmp_path: Path, text: str, rows: Cells) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,note,y\n" + text)
    assert cut(path, comment="#") == (["name", "note", "y"], rows)


def test_a_line_of_a_quoted_name_after_a_byte_order_mark_is_no_comment() -> None:
    text = '"a\n# b",c\n1,2\n# end\n3,4\n'.encode("utf-8-sig")
    assert Cleaned(io.BytesIO(text), Dialect(comment="#")).read() == text.replace(b"# end", b"")


def test_lines_within_quotes_are_no_comments_where_records_are_counted(tmp_path: Path) -> None:
    text = 'a,b\n1,"x\n# y\n\n# z"\n# end\n2,w\n3,""\n4,v,u\n'
    found = list(records(io.StringIO(text), Dialect(comment="#")))
    assert [(record.line, record.cells) for record in found[1:4]] == [
        (2, ["1", "x\n# y\n\n# z"]),
        (7, ["2", "w"]),
        (8, ["3", ""]),
    ]
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        cut(path, comment="#")
    assert caught.value.where == f"{path}, line 9"


HEADED = "id,name,label\n1,ann,yes\n2,bob,no\n"


@pytest.mark.parametrize(
    ("first", "second", "without"),
    [
        (HEADED, "4,dan,no\n5,eve,yes\n", 1),
        (HEADED, "4,dan,no\n", 1),
        ("4,dan,no\n5,eve,yes\n", HEADED, 0),
        ("name,label\nann,yes\nbob,no\n", "dan,no\neve,yes\n", 1),
    ],
)
def test_a_file_without_the_header_that_another_has(tmp_path: Path, first: str, second: str, without: int) -> None:
    texts = [first, second]
    paths = [tmp_path / "0.csv", tmp_path / "1.csv"]

    def rows(csv: Csv) -> list[dict[str, str]]:
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        dialect = find_dialect(list(map(str, paths)), csv)
        files = [DelimitedFile(str(path), dialect) for path in paths]
        return [row for file in files for batch in file.batches(file.names) for row in batch.to_pylist()]

    with pytest.raises(DataError) as caught:
        rows(Csv())
    assert caught.value.where == f"{paths[without]}, line 1"
    header, _, rest = texts[1 - without].partition("\n")
    names = header.split(",")
    assert f"remove it from {paths[1 - without]} and set data.csv.header to {json.dumps(names)}" in caught.value.fix
    expected = [dict(zip(names, line.split(","), strict=True)) for line in "".join([first, second]).split() if line != header]

    texts[1 - without] = rest
    assert rows(Csv(header=names)) == expected
    texts[1 - without] = f"{header}\n{rest}"
    texts[without] = f"{header}\n{texts[without]}"
    assert rows(Csv()) == expected


@pytest.mark.parametrize(
    ("second", "known"),
    [
        ("label,score\nyes,2.5\n", Csv()),
        ("score,size\n2.5,3\n", Csv()),
        (HEADED.splitlines()[0], Csv()),
        ("town,street\nRome,Via Appia\n", Csv(header=True)),
    ],
)
def test_files_may_have_other_columns(tmp_path: Path, second: str, known: Csv) -> None:
    paths = [str(tmp_path / name) for name in ("0.csv", "1.csv")]
    for path, text in zip(paths, (HEADED, second), strict=True):
        Path(path).write_text(text)
    dialect = find_dialect(paths, known)
    assert DelimitedFile(paths[1], dialect).names == second.splitlines()[0].split(",")


@pytest.mark.parametrize(("first", "second"), [("utf-8", "cp1252"), ("cp1252", "utf-8"), ("utf-8", "utf-16-le")])
def test_files_of_a_table_in_several_encodings(tmp_path: Path, first: str, second: str) -> None:
    text = "a,b\n1,café\n2,crème\n"
    paths = [str(tmp_path / f"{number}.csv") for number in range(10)]
    for number, path in enumerate(paths):
        Path(path).write_bytes(text.encode(second if number % 9 == 1 else first))
    dialect = find_dialect(paths, Csv())
    for path in paths:
        [batch] = DelimitedFile(path, dialect).batches(["b"])
        assert batch.column("b").to_pylist() == ["café", "crème"]


@pytest.mark.parametrize("name", ["long.csv", "long.csv.gz"])
def test_a_file_whose_other_letters_come_late_is_read_by_their_form(tmp_path: Path, name: str) -> None:
    (tmp_path / "short.csv").write_bytes("a,b\n1,café\n2,crème\n".encode("cp1252"))
    rows = "1,x\n" * 400_000 + "2,crème brûlée\n"
    for encoding in ("utf-8", "cp1252"):
        content = f"a,b\n{rows}".encode(encoding)
        (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
        paths = [str(tmp_path / "short.csv"), str(tmp_path / name)]
        dialect = find_dialect(paths, Csv())
        *_, last = DelimitedFile(paths[1], dialect).batches(["b"])
        assert dialect.encoding == "cp1252"
        assert last.column("b")[-1].as_py() == "crème brûlée"


def test_an_encoding_that_is_set_is_that_of_all_files(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\né,1\n".encode())
    assert cut(path, encoding="cp1252") == (["a", "b"], [["Ã©", "1"]])


def test_few_beginnings_are_kept(tmp_path: Path) -> None:
    text = "a,b\n" + f"1,{'x' * 100_000}\n" * 11
    paths = [str(tmp_path / f"{number}.csv") for number in range(40)]
    for path in paths:
        Path(path).write_text(text)
    tracemalloc.start()
    find_dialect(paths, Csv())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(paths) * len(text)


def test_an_encoding_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("имя,город\nИван,Москва\n".encode("cp1251"))  # noqa: RUF001
    with pytest.raises(DataError) as caught:
        cut(path)
    assert caught.value.fix == "Set data.csv.encoding to the one that reads right, for example cp1251."
    assert cut(path, encoding="cp1251") == (["имя", "город"], [["Иван", "Москва"]])


def test_a_remedy_is_followed_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, known in {
        "x,y\n" + "1,2\n" * 20_000 + "#z\n": {"comment": "#"},
        "text\nHello, world\nSo, so\n": {"delimiter": "\t"},
        'a,b\n1,2\n"x,3\n4,5\n': {"quote": ""},
    }.items():
        path.write_text(text)
        with pytest.raises(DataError) as caught:
            cut(path)
        [(name, value)] = known.items()
        assert f"data.csv.{name} to" in caught.value.fix
        assert repr(value) in caught.value.fix or (value == "" and '""' in caught.value.fix)
        cut(path, **known)


def test_names_that_are_too_many(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2\n3,4\n")
    with pytest.raises(DataError) as caught:
        cut(path, header=["x", "y", "z"])
    assert caught.value.fix == "Set data.csv.header to as many names as the table has columns: it has 3."
    assert caught.value.seen == "2 fields: 1,2"
    assert cut(path, header=["x", "y"])[0] == ["x", "y"]


def test_a_byte_that_is_no_utf_8_far_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x,y\n" + (b"1," + b"2" * 10_000 + b"\n") * 500 + "Müller,Köln\n".encode("cp1252"))
    with pytest.raises(DataError) as caught:
        cut(path)
    assert caught.value.where.endswith("line 502")
    assert caught.value.fix == "Set data.csv.encoding to cp1252."
    assert cut(path, encoding="cp1252")[1][-1] == ["Müller", "Köln"]


def test_a_field_that_the_sample_cuts_off_is_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\n" + '1\t"two words"\n' * 500_000)
    assert find_dialect([str(path)], Csv()).quote == '"'


def test_the_dialect_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("1,5\té\n2,5\té\n".encode("cp1252"))
    assert str(find_dialect([str(path)], Csv())) == (
        "fields separated by tabs, the encoding cp1252, decimal commas, no header: the columns are column0, column1 and so on"
    )
    assert str(find_dialect([str(path)], Csv())) == str(find_dialect([str(path)], Csv()))
    path.write_text("a,b\n1,2\n")
    assert str(find_dialect([str(path)], Csv())) == ""


@given(content=st.binary(max_size=200) | st.text("ab,;\t|\"'\\\n\r #é1.", max_size=80).map(str.encode))
@settings(max_examples=150)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(content)
    try:
        names, rows = cut(path)
    except DataError:
        return
    assert all(len(row) == len(names) for row in rows)


@given(
    rows=st.lists(st.tuples(*[st.text(st.characters(exclude_characters="\0\1\r", exclude_categories=["Cs"]))] * 3), min_size=1),
    delimiter=st.sampled_from(",;\t|~"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@settings(max_examples=60)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], delimiter: str, quoting: Any, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows([("x", "y", "z"), *rows])
    known = {"delimiter": delimiter, "quote": '"', "header": True, "comment": "\x01"}
    assert cut(path, **known) == (["x", "y", "z"], [[cell or None for cell in row] for row in rows])
