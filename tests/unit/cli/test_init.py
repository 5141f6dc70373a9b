"""`conveyor init`: from a table to a configuration."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.example_gen.table import open_table
from pipeline.cli.main import app
from pipeline.config.loading import load_config
from pipeline.errors import ConfigError, DataError, UsageError

ROWS = 300


@pytest.fixture
def conveyor(tmp_path, monkeypatch):
    """Runs a command in a folder with houses.csv and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    houses().to_csv("houses.csv", index=False)

    def _conveyor(*arguments: str) -> str:
        return CliRunner().invoke(app, arguments, catch_exceptions=False).stdout

    return _conveyor


def houses() -> pd.DataFrame:
    random = np.random.default_rng(0)
    size = random.integers(30, 300, ROWS)
    return pd.DataFrame(
        {
            "house_id": random.permutation(ROWS) + 1000,
            "prénom: #1": random.choice(["Ada", "Bo", "Cy"], ROWS),
            "size": size,
            "country": "IT",
            "price": (size * 1000 + random.normal(0, 30_000, ROWS)).round(),
            "price_final": size * 990.5,
        }
    )


def test_the_configuration_has_what_differs_from_the_defaults(conveyor):
    conveyor("init", "houses.csv", "--label", "price")

    written = yaml.safe_load(Path("pipeline.yaml").read_text())
    assert written["name"] == "houses"
    assert written["task"] == "regression"
    assert written["label"] == "price"
    assert written["data"] == {"input": "houses.csv"}
    assert written["features"] == {"house_id": {"kind": "ignore"}, "country": {"kind": "ignore"}}
    assert set(written["gateway"]["example"]) == {"prénom: #1", "size", "price_final"}
    assert load_config(Path("pipeline.yaml")).data.input == str(Path("houses.csv").absolute())


def test_reasons_stand_above_what_was_chosen(conveyor):
    conveyor("init", "houses.csv", "--label", "price")

    text = Path("pipeline.yaml").read_text()
    assert "  # Identifier: 300 different values in 300 rows.\n  house_id: {kind: ignore}\n" in text
    assert "  # Constant: IT in every row.\n  country: {kind: ignore}\n" in text
    assert "prénom: #1 (Ada, " in text
    assert "price_final may be known only after price, by its name." in text


def test_what_was_chosen_and_the_next_command_are_told(conveyor):
    told = conveyor("init", "houses.csv", "--label", "price")

    assert "Warning: price_final may be known only after price, by its name." in told
    assert "identifier, ignored" in told
    assert told.endswith("Next: conveyor run\n")


@pytest.mark.parametrize("name", ["2020", "it's", "no", "a: b", "#1", 'say "x"', "a  b " * 40 + "c", "tab\there", "zip code"])
def test_the_remedy_for_a_column_that_knows_the_label_works(conveyor, name):
    table = houses().assign(**{name: (houses().price // 10_000).astype(int)})
    table.to_parquet("flats.parquet")
    conveyor("init", "flats.parquet", "--label", "price")

    path = Path("pipeline.yaml")
    remedies = [line.removeprefix("  #   ") for line in path.read_text().splitlines() if line.endswith(": {kind: ignore}")]
    remedy = next(line for line in remedies if yaml.safe_load(line) == {name: {"kind": "ignore"}})
    lines = [line for line in path.read_text().splitlines() if line != f"  {name}: {{kind: categorical}}"]
    lines.insert(lines.index("features:") + 1, f"  {remedy}")
    path.write_text("\n".join(lines))
    assert load_config(path).features[name].kind == "ignore"


def test_numbers_without_end_and_lists_with_holes_are_described(conveyor):
    holes = {"ratio": [np.inf, 1.5, -np.inf] * (ROWS // 3), "tags": [["a", None], [None], []] * (ROWS // 3)}
    houses().assign(**holes).to_parquet("flats.parquet")
    conveyor("init", "flats.parquet", "--label", "price")

    assert load_config(Path("pipeline.yaml")).label == "price"
    assert "ratio (-inf to inf)" in Path("pipeline.yaml").read_text().replace("\n  # ", " ")


def test_commands_name_files_as_a_shell_takes_them(conveyor):
    arguments = ("init", "houses.csv", "--label", "price", "--output", "my pipeline.yaml")
    told = conveyor(*arguments)
    with pytest.raises(UsageError) as caught:
        conveyor(*arguments)

    assert shlex.split(told.rpartition("Next: ")[2]) == ["conveyor", "run", "my pipeline.yaml"]
    conveyor(*arguments[:4], *shlex.split(caught.value.fix.partition(": ")[2]))
    assert Path("my pipeline-2.yaml").exists()


def test_nothing_is_overwritten_and_the_remedy_works(conveyor):
    conveyor("init", "houses.csv", "--label", "price")
    before = Path("pipeline.yaml").read_text()
    with pytest.raises(UsageError) as caught:
        conveyor("init", "houses.csv", "--label", "size")

    assert Path("pipeline.yaml").read_text() == before
    told = conveyor("init", "houses.csv", "--label", "size", *caught.value.fix.partition(": ")[2].split())
    assert told.endswith("Next: conveyor run pipeline-2.yaml\n")
    assert load_config(Path("pipeline-2.yaml")).label == "size"


def test_print_writes_the_same_to_the_terminal_and_no_file(conveyor):
    printed = conveyor("init", "houses.csv", "--label", "price", "--print")

    assert not Path("pipeline.yaml").exists()
    conveyor("init", "houses.csv", "--label", "price")
    assert Path("pipeline.yaml").read_text() == printed


def test_without_a_label_candidates_are_listed_and_the_remedy_works(conveyor):
    with pytest.raises(UsageError) as caught:
        conveyor("init", "houses.csv")

    assert caught.value.exit_code == 2
    assert "size: regression" in caught.value.expected
    assert not Path("pipeline.yaml").exists()
    conveyor("init", "houses.csv", *caught.value.fix.partition(": ")[2].split())
    assert Path("pipeline.yaml").exists()


def test_on_a_terminal_the_label_is_asked_for(conveyor, monkeypatch):
    converse(monkeypatch, "init", "houses.csv", answers=["size"])

    assert load_config(Path("pipeline.yaml")).label == "size"


@pytest.fixture
def latin(tmp_path) -> str:
    """A file whose encoding cannot be told, and which is refused."""
    path = tmp_path / "latin.csv"
    path.write_bytes(("Kunde;Prénom;price\n" + "1;Zoë;1\n2;Jürgen;2\n3;François;3\n4;Ana;4\n" * 50).encode("cp1252"))
    return str(path)


def test_what_cannot_be_told_is_named_as_an_option_and_the_remedy_works(conveyor, latin):
    with pytest.raises(DataError) as caught:
        conveyor("init", latin, "--label", "price")

    option = caught.value.fix.rpartition("takes it as ")[2].replace("VALUE", "cp1252")
    conveyor("init", latin, "--label", "price", *option.split())
    written = yaml.safe_load(Path("pipeline.yaml").read_text())
    assert written["data"]["csv"] == {"encoding": "cp1252"}
    assert f"conveyor init {latin} --label price {option}`" in Path("pipeline.yaml").read_text().replace("\n# ", " ")


def test_on_a_terminal_it_is_asked_for(conveyor, latin, monkeypatch):
    converse(monkeypatch, "init", latin, "-l", "price", answers=["cp1252"])

    assert load_config(Path("pipeline.yaml")).data.csv.encoding == "cp1252"


def converse(monkeypatch, *arguments: str, answers: list[str]) -> None:
    """Runs a command as on a terminal."""
    answer = iter(answers)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answer))
    app([*arguments], standalone_mode=False)


def test_fields_that_are_set_are_written(conveyor):
    conveyor("init", "houses.csv", "-l", "price", "--set", "training.epochs=3", "--set", "data.split.eval_fraction=0.3")

    written = yaml.safe_load(Path("pipeline.yaml").read_text())
    assert written["training"]["epochs"] == 3
    assert written["data"]["split"]["eval_fraction"] == 0.3


def test_a_field_that_is_not_there_is_refused_before_anything_is_written(conveyor):
    with pytest.raises(ConfigError, match=r"data\.inptu"):
        conveyor("init", "houses.csv", "-l", "price", "--set", "data.inptu=x")

    assert not Path("pipeline.yaml").exists()


def test_a_column_of_a_type_that_is_not_taken_is_ignored(conveyor):
    houses().assign(rooms=[{"kitchen": 1}] * ROWS).to_parquet("flats.parquet")
    conveyor("init", "flats.parquet", "-l", "price")

    assert load_config(Path("pipeline.yaml")).features["rooms"].kind == "ignore"
    assert "# Unreadable: of the type struct<kitchen: int64>." in Path("pipeline.yaml").read_text()


@pytest.mark.parametrize("gap", [None, np.inf])
def test_rows_without_a_label_are_left_out_and_nothing_is_decided_by_them(conveyor, gap):
    table = houses()
    table["price"] = [gap] * 100 + list(table.price[100:])
    table.to_parquet("flats.parquet")
    told = conveyor("init", "flats.parquet", "-l", "price")

    assert "Warning: 100 of 300 rows have no value of price and are left out." in told
    text = Path("pipeline.yaml").read_text()
    assert "  # 100 of 300 rows have no value of price and are left out.\n  unlabelled: drop\n" in text
    assert "different values in 200 rows: a quantity." in text
    assert conveyor("config", "validate").startswith("pipeline.yaml is valid")


def test_a_label_of_many_words_for_true_and_false_is_read_as_these(conveyor):
    table = houses().assign(sold=["Yes", "no", "yes ", "N", "Y", None] * (ROWS // 6))
    table.to_csv("flats.csv", index=False)
    told = conveyor("init", "flats.csv", "-l", "sold")

    assert "Warning: sold says N, Y, Yes, no and 1 more, which is read as true and false." in told
    config = load_config(Path("pipeline.yaml"))
    assert (config.task.value, config.data.columns) == ("binary_classification", {"sold": "boolean"})
    assert conveyor("config", "validate").startswith("pipeline.yaml is valid")


def test_amounts_are_read_as_numbers_also_of_the_label(conveyor):
    table = houses()
    dollars = table["price"].abs().map("${:,.2f}".format)
    table.assign(price=dollars, rent=table["size"].map("{} %".format)).to_csv("amounts.csv", index=False)

    told = conveyor("init", "amounts.csv", "--label", "price")

    text = Path("pipeline.yaml").read_text()
    assert f"price has amounts such as {dollars.min()}, which are read as numbers." in text
    config = load_config(Path("pipeline.yaml"))
    assert config.data.columns == {"price": "float", "rent": "float"}
    assert config.task.value == "regression"
    assert "rent" in told
    prices = [value for batch in open_table(config.data).batches() for value in batch.column("price").to_pylist()]
    assert prices == pytest.approx(table["price"].abs(), rel=1e-6)


def test_a_sheet_with_decimal_commas_units_and_a_total_is_read_as_numbers(conveyor):
    units, prices = [900 + 7 * row for row in range(ROWS)], [20 + row / 8 for row in range(ROWS)]

    def written(value: float, digits: int = 2) -> str:
        return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))

    rows = [f"{'NS'[row % 2]};{written(units[row], 0)};{written(prices[row])} €;{row % 31},5 °C" for row in range(ROWS)]
    rows.append(f"Total;{written(sum(units), 0)};{written(sum(prices))} €;")
    Path("sheet.csv").write_text("\n".join(["Sales of 2024;;;", "Region;Units;Price;Outside", *rows]), encoding="utf-8-sig")

    told = conveyor("init", "sheet.csv", "--label", "Price")

    config = load_config(Path("pipeline.yaml"))
    assert config.task.value == "regression"
    assert config.data.columns == {"Price": "float", "Outside": "float"}
    assert "The last row may be a total: Units, Price" in told
    table = [row for batch in open_table(config.data).batches() for row in batch.to_pylist()]
    assert [row["Units"] for row in table[:-1]] == units
    assert [row["Price"] for row in table[:-1]] == pytest.approx([round(price, 2) for price in prices], abs=0.006)
    assert [row["Outside"] for row in table[:3]] == [0.5, 1.5, 2.5]


def test_a_word_for_no_value_among_measurements_is_told_with_its_remedy(conveyor):
    values = ["ERR7" if row % 29 == 0 else "n/a" if row % 31 == 0 else f"{row / 4} °C" for row in range(ROWS)]
    houses().assign(outside=values).to_csv("sensors.csv", index=False)

    told = conveyor("init", "sensors.csv", "--label", "price", "--print")
    assert "outside: float" not in told
    assert "data.csv.nulls: [ERR7]." in conveyor("init", "sensors.csv", "--label", "price")

    conveyor("init", "sensors.csv", "--label", "price", "--output", "numbers.yaml", "--set", "data.csv.nulls=[ERR7]")

    config = load_config(Path("numbers.yaml"))
    assert (config.data.csv.nulls, config.data.columns) == (["ERR7"], {"outside": "float"})
    read = [value for batch in open_table(config.data).batches() for value in batch.column("outside").to_pylist()]
    assert read[:3] == [None, 0.25, 0.5]
    assert sum(value is None for value in read) == sum(value in ("ERR7", "n/a") for value in values)


def test_a_number_for_no_value_is_told_and_can_be_named(conveyor):
    values = [-999 if row % 50 == 0 else row % 40 for row in range(ROWS)]
    houses().assign(outside=values).to_csv("sensors.csv", index=False)

    told = " ".join(conveyor("init", "sensors.csv", "--label", "price").split())
    assert f"Warning: outside is -999 in 6 of {ROWS} rows, far from all others." in told

    told = conveyor("init", "sensors.csv", "--label", "price", "--output", "b.yaml", "--set", 'data.csv.nulls=["-999"]')
    assert "far from all others" not in told
    assert load_config(Path("b.yaml")).data.csv.nulls == ["-999"]


def test_words_among_numbers_are_read_as_no_value(conveyor):
    size = houses()["size"].astype(str)
    rent = size.map("{} EUR".format)
    size[::20], size[1::50], rent[::25], rent[1::50] = "n.d.", "n/a", "unknown", "not yet"
    houses().assign(size=size, rent=rent).to_csv("words.csv", index=False)

    told = conveyor("init", "words.csv", "--label", "price")

    written = yaml.safe_load(Path("pipeline.yaml").read_text())
    assert written["data"]["csv"] == {"nulls": ["n.d.", "not yet", "unknown"]}
    assert written["data"]["columns"] == {"rent": "float"}
    assert "Warning: size says n.d. among numbers, which is read as no value." in told
    assert isinstance(written["gateway"]["example"]["size"], int)


@pytest.mark.parametrize(
    "others",
    [
        {"size": [*["K"] * 10, *[str(row % 12) for row in range(ROWS - 10)]]},
        {"size": [*["<0.1"] * 10, *[str(row) for row in range(ROWS - 10)]]},
        {"size": [*["n.d."] * 40, *[str(row) for row in range(ROWS - 40)]]},
        {"size": [*["n.d."] * 10, *[f"B-{row}" for row in range(ROWS - 10)]]},
        {"size": [*["n.d."] * 10, *[str(row) for row in range(ROWS - 10)]], "city": ["n.d.", "Rome", "Oslo"] * (ROWS // 3)},
    ],
    ids=["few numbers", "below a limit", "many", "no numbers", "a value elsewhere"],
)
def test_other_words_are_kept(conveyor, others):
    houses().assign(**others).to_csv("words.csv", index=False)

    conveyor("init", "words.csv", "--label", "price")

    assert "csv" not in yaml.safe_load(Path("pipeline.yaml").read_text())["data"]


def test_words_that_are_set_for_no_value_hold(conveyor):
    size = houses()["size"].astype(str)
    size[::20] = "n.d."
    houses().assign(size=size).to_csv("words.csv", index=False)

    conveyor("init", "words.csv", "--label", "price", "--set", "data.csv.nulls=[x]")

    assert yaml.safe_load(Path("pipeline.yaml").read_text())["data"]["csv"] == {"nulls": ["x"]}


def test_addresses_of_machines_are_no_amounts(conveyor):
    houses().assign(ip=[f"10.0.{row % 7}.{row % 50}" for row in range(ROWS)]).to_csv("logs.csv", index=False)

    told = conveyor("init", "logs.csv", "--label", "price")

    assert "To have numbers" not in told
    assert not load_config(Path("pipeline.yaml")).data.columns


@pytest.mark.parametrize("others", ["€", "a number that is not written so"])
def test_amounts_that_are_no_numbers_of_one_unit_stay_text(conveyor, others):
    amounts = [
        f"€{1000 + row}" if row % 2 and others == "€" else "1.2.3" if row % 2 else f"${1000 + row}" for row in range(ROWS)
    ]
    houses().assign(rent=amounts).to_csv("amounts.csv", index=False)

    conveyor("init", "amounts.csv", "--label", "price")

    assert not load_config(Path("pipeline.yaml")).data.columns


def test_the_type_that_is_set_for_amounts_holds(conveyor):
    houses().assign(rent=houses()["size"].map("${:,}".format)).to_csv("amounts.csv", index=False)

    conveyor("init", "amounts.csv", "--label", "price", "--set", "data.columns.rent=text")

    assert load_config(Path("pipeline.yaml")).data.columns == {"rent": "text"}


@pytest.mark.parametrize("words", [["yes", "no"], ["y", "t", "f"], ["true", "false"]])
def test_words_that_need_not_mean_the_same_stay_apart(conveyor, words):
    houses().assign(sold=words * (ROWS // len(words))).to_parquet("flats.parquet")
    conveyor("init", "flats.parquet", "-l", "sold", "--set", "data.columns.size=float")

    assert load_config(Path("pipeline.yaml")).data.columns == {
        "size": "float",
        **({"sold": "boolean"} if len(words) > 2 else {}),
    }


def test_classes_that_may_mean_the_same_are_warned_of(conveyor):
    houses().assign(kind=["Flat", "flat", "house"] * (ROWS // 3)).to_csv("flats.csv", index=False)
    told = conveyor("init", "flats.csv", "-l", "kind")

    assert "Warning: The label 'kind' has classes that may mean the same and are learnt apart: 'Flat', 'flat'." in told
    assert load_config(Path("pipeline.yaml")).task.value == "multiclass_classification"


def test_few_rows_are_warned_of(conveyor):
    houses().head(20).to_csv("few.csv", index=False)

    assert "Warning: 20 rows are too few to tell a good model from a bad one." in conveyor("init", "few.csv", "-l", "price")


def test_the_order_of_day_and_month_is_asked_for_and_the_remedy_works(conveyor):
    houses().assign(sold=["01/02/2024", "03/04/2024"] * (ROWS // 2)).to_csv("flats.csv", index=False)
    with pytest.raises(DataError) as caught:
        conveyor("init", "flats.csv", "-l", "price")

    conveyor("init", "flats.csv", "-l", "price", *caught.value.fix.rpartition("takes it as ")[2].split())
    assert load_config(Path("pipeline.yaml")).data.dates == "day_first"
    assert load_config(Path("pipeline.yaml")).features["sold"].kind == "time"


@pytest.mark.parametrize(("date", "order"), [("31/01/2024", "day_first"), ("01/31/2024", "month_first"), ("2024-01-31", None)])
def test_the_order_of_day_and_month_is_written_for_tables_that_do_not_tell_it(conveyor, date, order):
    houses().assign(sold=[date, "02/03/2024" if order else date] * (ROWS // 2)).to_csv("flats.csv", index=False)
    conveyor("init", "flats.csv", "-l", "price")

    config = load_config(Path("pipeline.yaml"))
    assert config.data.dates == order
    Path("new.csv").write_text("sold\n02/03/2024\n")
    if order:
        table = open_table(config.data.model_copy(update={"input": str(Path("new.csv").absolute())}))
        (batch,) = table.batches()
        assert batch.column("sold")[0].as_py().month == (3 if order == "day_first" else 2)


def test_a_folder_of_spans_is_divided_by_them(conveyor, tmp_path):
    for month in (11, 12):
        path = tmp_path / f"data/sales-2024{month}.parquet"
        path.parent.mkdir(exist_ok=True)
        houses().to_parquet(path)
    conveyor("init", "data", "-l", "price")

    data = load_config(Path("pipeline.yaml"), as_written=True).data
    assert data.input == "data/sales-{SPAN}.parquet"
    assert (data.split.method, data.split.train_spans, data.split.eval_spans) == ("window", 1, 1)


def test_a_table_elsewhere_is_named_by_its_whole_path(conveyor, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    conveyor("init", "../houses.csv", "-l", "price")

    assert load_config(Path("pipeline.yaml")).data.input == str(tmp_path / "houses.csv")


COLUMN_NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=12
).filter(lambda name: name.strip() == name)
COLUMNS = st.one_of(
    st.just([f"id{row}" for row in range(ROWS)]),
    st.just([1] * ROWS),
    st.just([None] * ROWS),
    st.integers(2, 50).map(lambda n: [row * 7 % n for row in range(ROWS)]),
    st.integers(2, 50).map(lambda n: [f"v{row * 7 % n}" for row in range(ROWS)]),
    st.integers(2, 50).map(lambda n: [row % n / 3 if row % 5 else None for row in range(ROWS)]),
    st.just([f"2024-01-{1 + row % 28:02}" for row in range(ROWS)]),
    st.just([pd.Timestamp("2024-01-31") + pd.Timedelta(hours=7 * row) for row in range(ROWS)]),
    st.just([f"some words of the number {row}" for row in range(ROWS)]),
    st.just([["a", "b"][: row % 3] for row in range(ROWS)]),
    st.just([[row, row + 1][: row % 3] for row in range(ROWS)]),
    st.just([{"a": row} for row in range(ROWS)]),
)


@settings(max_examples=10)
@given(
    st.dictionaries(COLUMN_NAMES, COLUMNS, min_size=1, max_size=5), st.sampled_from([["a", "b"], [1, 2, 3], [0.5, 1.5, 2.0]])
)
def test_whatever_is_written_is_valid_and_the_same_again(tmp_path_factory, columns, label):
    folder = tmp_path_factory.mktemp("table")
    table = {**columns, "the label": [label[row % len(label)] for row in range(ROWS)]}
    pd.DataFrame(table).to_parquet(folder / "table.parquet")
    arguments = ["init", str(folder / "table.parquet"), "--label", "the label", "--output", str(folder / "pipeline.yaml")]
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, UsageError):
        assert result.exception.what == "No column is left to predict the label from."
        return

    config = load_config(folder / "pipeline.yaml")
    assert set(config.features) <= set(columns)
    assert set(config.gateway.example) <= set(columns)
    json.dumps(config.effective())
    again = CliRunner().invoke(app, [*arguments[:-2], "--print"])
    assert (
        again.stdout.splitlines()[2:]
        == (folder / "pipeline.yaml")
        .read_text()
        .replace("input: table.parquet", f"input: {folder / 'table.parquet'}")
        .splitlines()[2:]
    )


def test_of_many_columns_that_are_used_alike_only_the_first_are_explained(conveyor):
    numbers = pd.DataFrame({f"n{column}": [row * column % 251 for row in range(ROWS)] for column in range(3, 123)})
    empty = pd.DataFrame({f"e{column}": [column, *[None] * (ROWS - 1)] for column in range(120)})
    pd.concat([houses()[["price"]], numbers, empty], axis=1).to_csv("wide.csv", index=False)

    conveyor("init", "wide.csv", "--label", "price")

    text = Path("pipeline.yaml").read_text()
    assert len(load_config(Path("pipeline.yaml")).features) >= 120
    assert text.count("have no value") == 51
    assert text.count("Nearly empty, like others below") == 1
    assert "n52 (0 to 250) and 70 more." in " ".join(text.replace("#", "").split())
