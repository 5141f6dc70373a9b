"""What the data and other files tell of a configuration before anything runs."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind
from components.shared.examples.tfrecord import frame
from pipeline.checks import find_flaws
from pipeline.checks.columns import named_columns
from pipeline.config import PipelineConfig
from pipeline.config.flaws import Flaw
from pipeline.config.loading import flawed, load_config
from pipeline.local.training import require_suitable_data

ROWS = [{"rooms": number % 5, "city": "ABC"[number % 3], "sold": number % 2, "price": number * 1.5} for number in range(60)]


def csv(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(rows[0]), *(",".join("" if value is None else str(value) for value in row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def parquet(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with houses.csv, and a function that finds the flaws of a configuration in it."""
    csv(tmp_path / "houses.csv")
    monkeypatch.chdir(tmp_path)

    def _flaws(**fields: Any) -> list[Flaw]:
        (tmp_path / "pipeline.yaml").write_text(
            yaml.safe_dump({"name": "houses", "label": "sold", "data": {"input": "houses.csv"}, **fields}, sort_keys=False)
        )
        return find_flaws(load_config(tmp_path / "pipeline.yaml"))

    return _flaws


def test_nothing_is_wrong(project):
    assert project() == []
    assert not Path(".conveyor").exists()


SECTIONS: dict[str, Any] = {
    "features": {"rooms": {"kind": "numeric"}},
    "evaluation": {"slices": [["rooms"]], "max_gaps": {"rooms": {"recall": 0.1}}},
    "data": {
        "input": "houses.csv",
        "split": {"method": "group", "by": "rooms"},
        "columns": {"rooms": "text"},
        "keep": ["rooms"],
    },
    "gateway": {"split_by": "rooms", "example": {"rooms": 1}, "log": {"exclude": ["rooms"]}},
}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_name_in_any_section_that_is_no_column_is_found_and_the_remedy_mends_it(project, section):
    assert project(**{section: SECTIONS[section]}) == []
    wrong = json.loads(json.dumps(SECTIONS[section]).replace('"rooms"', '"romms"'))

    flaws = project(**{section: wrong})

    assert flaws
    assert {flaw.fix for flaw in flaws} == {"Did you mean 'rooms'?"}
    assert {flaw.field[0] for flaw in flaws} == {section}


def test_every_field_that_names_a_column_is_looked_at(tmp_path):
    config = PipelineConfig.model_validate({"name": "a", "label": "y", **SECTIONS})

    fields = [".".join(map(str, field)) for field, _ in named_columns(config)]
    assert fields == [
        "features.rooms",
        "evaluation.slices.0",
        "evaluation.max_gaps.rooms",
        "data.split.by",
        "data.columns.rooms",
        "data.keep.0",
        "gateway.example.rooms",
        "gateway.split_by",
        "gateway.log.exclude.0",
    ]


def test_all_flaws_are_listed_with_their_lines(project):
    flaws = project(label="solt", evaluation={"slices": [["nope"]]}, gateway={"split_by": "cty"})

    error = flawed(flaws, Path("pipeline.yaml"))

    assert error.exit_code == 2
    assert [line.partition(":")[0] for line in error.seen.splitlines()] == ["line 2", "line 7", "line 9"]


@pytest.mark.parametrize("write", [csv, parquet])
@pytest.mark.parametrize(
    ("label", "task", "what", "remedy"),
    [
        ("city", "binary_classification", "more than two values", "multiclass_classification"),
        ("city", "regression", "is text", "multiclass_classification"),
        ("price", "multiclass_classification", "has fractions", "regression"),
        ("price", "binary_classification", "has fractions", "regression"),
        ("rooms", "binary_classification", "more than two values", "multiclass_classification"),
    ],
)
def test_a_task_that_does_not_suit_the_label_and_the_one_that_does(project, write, label, task, what, remedy):
    path = write(Path("table." + ("csv" if write is csv else "parquet")))

    (flaw,) = project(data={"input": path.name}, label=label, task=task)

    assert what in flaw.what
    assert flaw.fix == f"Write: task: {remedy}"
    assert project(data={"input": path.name}, label=label, task=remedy) == []
    assert flawed([flaw]).exit_code == 3


NAMED = [{"x": number, "kind": "fraud" if number % 9 == 0 else "paid", "flag": number % 3} for number in range(60)]


@pytest.mark.parametrize("write", [csv, parquet])
def test_a_class_that_the_label_does_not_have_is_told_and_the_remedy_works(project, write):
    table = {"data": {"input": str(write(Path(f"table.{write.__name__}"), NAMED))}, "label": "kind"}

    (positive,) = project(**table, positive_class="frod")
    assert positive.field == ("positive_class",)
    assert project(**table, **yaml.safe_load(positive.fix.removeprefix("Set "))) == []

    (weight,) = project(**table, training={"class_weights": {"payed": 2, "fraud": 3}})
    assert (weight.field, weight.fix) == (("training", "class_weights", "payed"), "Did you mean 'paid'?")
    assert project(**table, training={"class_weights": {"paid": 2, "fraud": 3}}) == []


def test_classes_that_are_numbers_or_truth_values(project):
    table = {"data": {"input": str(csv(Path("table.csv"), NAMED))}, "label": "flag", "task": "multiclass_classification"}
    assert project(**table, training={"class_weights": {0: 2, "2": 3}}) == []
    (flaw,) = project(**table, training={"class_weights": {3: 2}})
    assert (flaw.seen, flaw.expected) == ("3", "one of 0, 1, 2")
    assert project(positive_class=True) == []
    assert project(positive_class=2)[0].fix == 'Set positive_class: "1"'


def test_a_class_that_later_rows_may_have_is_left_to_the_run(project):
    rows = [{"x": number, "kind": "abc"[number // 30_000]} for number in range(90_000)]
    for path in (csv(Path("table.csv"), rows), parquet(Path("table.parquet"), rows)):
        table = {"data": {"input": str(path)}, "label": "kind", "task": "multiclass_classification"}
        assert project(**table, training={"class_weights": {"c": 2}}) == []


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([{"x": 1, "sold": 1}, {"x": 2, "sold": 1}], "single value"),
        ([{"x": 1, "sold": None}, {"x": 2, "sold": None}], "has no values"),
        ([{"x": 1, "sold": 0}, {"x": 2, "sold": 1}, {"x": 3, "sold": None}], "missing in some rows"),
        ([{"sold": 0}, {"sold": 1}], "No column is left"),
        ([{"x": None, "sold": 0}, {"x": None, "sold": 1}], "No column is left"),
    ],
)
def test_a_label_that_teaches_nothing(project, rows, what):
    for path in (csv(Path("table.csv"), rows), parquet(Path("table.parquet"), rows)):
        (flaw,) = project(data={"input": str(path)})
        assert what in flaw.what


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_a_number_that_is_none_is_no_class_of_the_label(project, kind):
    label = pa.array(np.array([0, 1, np.nan, 1]), pa.float64()).cast(kind)
    pq.write_table(pa.table({"x": [1, 2, 3, 4], "sold": label}), "table.parquet")

    (flaw,) = project(data={"input": "table.parquet"})

    assert "missing in some rows" in flaw.what
    assert flaw.seen == "1 of 4 rows without one"


@pytest.mark.parametrize("write", [csv, parquet])
def test_rows_without_a_label_are_refused_and_the_remedy_works(project, write):
    path = write(Path(f"table.{write.__name__}"), [*ROWS, {**ROWS[0], "sold": None}])
    (flaw,) = project(data={"input": str(path)})

    field, value = flaw.fix.removeprefix("Set data.").partition(",")[0].split(": ")
    assert project(data={"input": str(path), field: value}) == []


@pytest.mark.parametrize(
    ("feature", "column"),
    [
        ({"kind": "numeric"}, "city"),
        ({"buckets": 4}, "city"),
        ({"kind": "time"}, "city"),
        ({"kind": "time"}, "price"),
        ({"kind": "text"}, "rooms"),
        ({"kind": "categorical"}, "price"),
    ],
)
def test_a_kind_that_does_not_suit_the_values_is_told_and_the_remedy_works(project, feature, column):
    path = str(parquet(Path("table.parquet")))
    (flaw,) = project(data={"input": path}, features={column: feature})

    assert flaw.field == ("features", column)
    assert "remove the setting" in flaw.fix
    assert project(data={"input": path}, features={column: {}}) == []


@pytest.mark.parametrize("kind", ["numeric", "categorical", "time", "text"])
@pytest.mark.parametrize("write", [csv, parquet])
def test_a_column_without_values_suits_no_kind_and_the_remedy_works(project, write, kind):
    path = str(write(Path(f"table.{write.__name__}"), [{**row, "never": None} for row in ROWS]))
    (flaw,) = project(data={"input": path}, features={"never": {"kind": kind}})

    assert flaw.field == ("features", "never")
    assert project(data={"input": path}, features=yaml.safe_load(flaw.fix.removeprefix("Write: "))) == []
    assert project(data={"input": path}) == []


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([], "An input file has no rows."),
        ([{"x": 1, "sold": 0}], "The label 'sold' has a single value: there is nothing to learn."),
        ([{"x": 1, "sold": 0}] * 20, "The label 'sold' has a single value: there is nothing to learn."),
        ([{"sold": 0}, {"sold": 1}], "No column is left for the model."),
        ([{"x": 1, "sold": 0}, {"x": 2, "sold": 1}], None),
    ],
)
def test_the_smallest_tables(project, rows, what):
    Path("table.csv").write_text("x,sold\n")
    found = project(data={"input": str(csv(Path("table.csv"), rows) if rows else "table.csv")})

    assert [flaw.what for flaw in found] == ([what] if what else [])


def test_text_is_told_by_the_beginning_of_a_large_table_and_numbers_by_all_of_it(project):
    path = csv(Path("table.csv"), [{"city": "ABC"[row % 3], "rooms": row, "sold": row % 2} for row in range(200_000)])
    (flaw,) = project(data={"input": str(path)}, features={"city": {"kind": "numeric"}, "rooms": {"kind": "text"}})

    assert flaw.field == ("features", "city")


def test_what_the_rest_of_a_large_file_may_change_is_not_refused(project):
    sorted_by_label = [{"x": number, "sold": int(number > 150_000)} for number in range(160_000)]
    csv(Path("table.csv"), sorted_by_label)
    Path("table.csv.gz").write_bytes(gzip.compress(Path("table.csv").read_bytes()))

    assert project(data={"input": "table.csv"}) == []
    assert project(data={"input": "table.csv.gz"}) == []
    (flaw,) = project(data={"input": "table.csv"}, label="solt")
    assert flaw.fix == "Did you mean 'sold'?"


def test_quoted_line_breaks_do_not_break_a_sample(project):
    text = "note,x,sold\n" + "".join(f'"line one, {number}\nline ""two""",{number},{number % 2}\n' for number in range(60_000))
    Path("notes.csv").write_text(text)

    assert project(data={"input": "notes.csv"}) == []


def test_a_column_of_a_later_file_is_found(project):
    for number in range(30):
        csv(Path(f"many/{number}.csv"), [{**row, **({"late": 1} if number == 17 else {})} for row in ROWS])

    assert project(data={"input": "many/*.csv"}, features={"late": {"kind": "numeric"}}) == []
    (flaw,) = project(data={"input": "many/*.csv"}, features={"lat": {"kind": "numeric"}})
    assert flaw.fix == "Did you mean 'late'?"


def test_damaged_data_is_named_by_its_own_path(project):
    Path("ragged.csv").write_text("x,sold\n1,0\n2,1,3\n")

    (flaw,) = project(data={"input": "ragged.csv"})

    assert str(Path("ragged.csv").absolute()) in flaw.where
    assert "conveyor-sample" not in "".join((flaw.what, flaw.where, flaw.seen, flaw.fix))
    assert flawed([flaw]).exit_code == 3


def test_a_column_of_a_type_that_is_not_taken_may_be_ignored(project):
    rows = [{**row, "place": {"lat": 1.0}} for row in ROWS]
    parquet(Path("nested.parquet"), rows)

    (flaw,) = project(data={"input": "nested.parquet"})
    assert "'place'" in flaw.what
    assert project(data={"input": "nested.parquet"}, features={"place": {"kind": "ignore"}}) == []


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff"), ("utf-32", "")],
)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_the_beginning_of_a_large_table_ends_with_a_record(project, encoding, mark, quote):
    # U+0A0A has the bytes of two line breaks.
    row = "{0}Zoë \u0a0a, {1}\nnext{0},{1},{2}\n"
    text = mark + "note,x,sold\n" + "".join(row.format(quote, number, number % 2) for number in range(45_000))
    Path("notes.csv").write_bytes(text.encode(encoding))

    assert project(data={"input": "notes.csv"}) == []
    (flaw,) = project(data={"input": "notes.csv"}, label="solt")
    assert flaw.fix == "Did you mean 'sold'?"


def test_a_record_that_is_longer_than_what_is_looked_at(project):
    Path("long.csv").write_text("note,sold\n" + "".join(f"{'a, b ' * 100_000!r},{number % 2}\n" for number in range(4)))

    assert project(data={"input": "long.csv"}) == []


def words(count: int) -> list[dict[str, Any]]:
    """Rows that compression makes half as long at best."""
    return [{"sold": number % 2, "x": f"{random.Random(number).getrandbits(400):0100x}"} for number in range(count)]


def tf_examples(count: int) -> bytes:
    batch = pa.RecordBatch.from_pylist(words(count))
    return frame(encode(batch, {"x": Kind.TEXT, "sold": Kind.INTEGER})).to_pybytes()


def lines(count: int) -> bytes:
    return csv(Path("lines.csv"), words(count)).read_bytes()


def objects(count: int) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in words(count)).encode()


def pages(count: int) -> bytes:
    return parquet(Path("pages.parquet"), words(count)).read_bytes()


def overwritten(content: bytes, start: int = 200) -> bytes:
    return content[:start] + b"\xff" * 64 + content[start + 64 :]


DAMAGED: dict[str, Callable[[int], bytes]] = {
    "cut.parquet": lambda rows: pages(rows)[:-8],
    "page.parquet": lambda rows: overwritten(pages(rows), 4),
    "garbled.tfrecord": lambda rows: overwritten(tf_examples(rows)),
    "checksum.tfrecord.gz": lambda rows: overwritten(gzip.compress(tf_examples(rows), 0)),
    "deflate.tfrecord.gz": lambda rows: overwritten(gzip.compress(tf_examples(rows), 1)),
    "deflate.csv.gz": lambda rows: overwritten(gzip.compress(lines(rows), 1)),
    "deflate.jsonl.gz": lambda rows: overwritten(gzip.compress(objects(rows), 1)),
    "frame.csv.zst": lambda rows: overwritten(pa.Codec("zstd").compress(lines(rows), asbytes=True), 6),
    "letters.csv": lambda rows: overwritten(lines(rows)),
    "letters.jsonl": lambda rows: overwritten(objects(rows)),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("rows", [2_000, 24_000])
def test_a_damaged_file_is_said_to_be_damaged_whatever_its_size(project, name, rows):
    Path(name).write_bytes(DAMAGED[name](rows))
    assert (Path(name).stat().st_size > 1 << 20) == (rows == 24_000)

    (flaw,) = project(data={"input": name})

    assert str(Path(name).absolute()) in flaw.where
    assert flawed([flaw]).exit_code in (2, 3)
    assert flaw.what
    assert flaw.fix


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("rows", [60, 60_000])
def test_json_in_any_layout(project, rows, indent):
    Path("table.json").write_text(json.dumps(ROWS * (rows // 60), indent=indent))
    Path("table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS * (rows // 60)))

    assert project(data={"input": "table.json"}) == []
    assert project(data={"input": "table.jsonl"}) == []
    assert bool(project(data={"input": "table.jsonl"}, label="solt")) == (rows == 60)


def test_a_sample_that_leaves_the_order_of_days_and_months_open_refuses_nothing(project):
    days = [{"day": f"0{1 + number % 9}/0{1 + number % 7}/2013", "sold": number % 2} for number in range(100_000)]
    csv(Path("days.csv"), [*days, {"day": "31/01/2013", "sold": 1}])

    assert project(data={"input": "days.csv"}) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"data": {"input": "nothing.csv"}}, ("data", "input")),
        ({"data": {"input": "houses.csv", "newest_span": 0, "format": "parquet"}}, ("data", "input")),
        ({"data": {"input": "a{SPAN}.csv", "split": {"method": "window"}}}, ("data", "split")),
        ({"data": {"input": "a{SPAN}.csv", "newest_span": 0}}, ("data", "newest_span")),
        ({"schema": {"path": "schema.pbtxt"}}, ("schema", "path")),
        ({"gateway": {"feature_schema": "houses.csv"}}, ("gateway", "feature_schema")),
        ({"preprocessing": {"preprocessing_fn": "mine.py:preprocess"}}, ("preprocessing", "preprocessing_fn")),
        ({"model": {"build_model": "network.py:biuld_model"}}, ("model", "build_model")),
        ({"push": {"destination": "houses.csv/models"}}, ("push", "destination")),
        ({"push": {"public_key": "public.pem"}}, ("push", "public_key")),
        ({"workspace": "houses.csv"}, ("workspace",)),
        (
            {"execution": {"beam": {"runner": "flink", "flink": {"job_server_jar": "flink.jar"}}}},
            ("execution", "beam", "flink", "job_server_jar"),
        ),
    ],
)
def test_what_is_not_there_or_not_what_it_should_be(project, fields, field):
    csv(Path("a1.csv"))
    Path("network.py").write_text("def build_model():\n    raise SystemExit\n")

    flaws = project(**fields)

    assert {flaw.field for flaw in flaws} >= {field}
    assert all(flaw.what and flaw.fix for flaw in flaws if flaw.field != ("model", "build_model"))


def test_a_run_does_without_what_the_servers_alone_need(project):
    servers = {"gateway": {"feature_schema": "houses.csv"}, "push": {"public_key": "public.pem"}}
    assert len(project(**servers)) == 2
    require_suitable_data(load_config(Path("pipeline.yaml")), flawed)


def test_a_curated_schema_has_the_label_and_the_features(project):
    Path("schema.pbtxt").write_text('feature { name: "rooms" type: INT }\nfeature { name: "sold" type: INT }\n')

    assert project(schema={"path": "schema.pbtxt"}, features={"rooms": {"kind": "numeric"}}) == []
    ignored = {"price": {"kind": "ignore"}}
    assert (
        project(schema={"path": "schema.pbtxt"}, features=ignored, data={"input": "houses.csv", "columns": {"price": "text"}})
        == []
    )
    flaws = project(schema={"path": "schema.pbtxt"}, label="city", task="multiclass_classification", features={"price": {}})
    assert {flaw.field for flaw in flaws} == {("label",), ("features", "price")}


@pytest.mark.parametrize("rows", [1, 2, 20])
def test_tiny_tables(project, rows):
    csv(Path("tiny.csv"), ROWS[:rows])

    flaws = project(data={"input": "tiny.csv"})

    assert [flaw.what for flaw in flaws if "single value" not in flaw.what] == []


def test_wide_tables_are_looked_at_in_time(project):
    wide = [{**{f"column {place}": place * number for place in range(2000)}, "sold": number % 2} for number in range(120)]
    csv(Path("wide.csv"), wide)

    started = time.process_time()
    flaws = project(data={"input": "wide.csv"}, features={"column 2000": {}})

    # Two seconds on a quiet machine, start and all; this is the share of the check.
    assert time.process_time() - started < 3
    assert flaws[0].fix.startswith("Did you mean 'column ")
    assert "and 1989 more" in flaws[0].expected


@settings(max_examples=40)
@given(
    st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8), min_size=2, max_size=5, unique=True),
    st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8),
)
def test_columns_may_have_any_name(project, names, other):
    rows = [{name: (place + number) % 2 for place, name in enumerate(names)} for number in range(4)]
    parquet(Path("names.parquet"), rows)

    flaws = project(data={"input": "names.parquet"}, label=names[0], features={names[1]: {}}, gateway={"split_by": other})

    assert [flaw.field for flaw in flaws] == ([] if other in names else [("gateway", "split_by")])
