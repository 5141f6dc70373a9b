"""The data and its schema."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.config.section import ConfigPath, InputPattern, Section
from pipeline.config.split import Split


def _known_encoding(name: str) -> str:
    # `codecs.lookup` knows codecs that are not of text, too.
    try:
        "".encode(name)
    except LookupError as error:
        raise ValueError(f"{name!r} is not an encoding that Python knows, such as utf-8 or cp1252") from error
    return codecs.lookup(name).name


def _ascii(character: str) -> str:
    # Those that Python's and Arrow's readers of CSV both take.
    if not character.isascii() or character in ("\0", "\r", "\n"):
        raise ValueError(f"{character!r} is not a character of ASCII other than a line break, such as ; or a tab")
    return character


_Character = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_ascii)]

_Fingerprint = Annotated[
    str,
    Field(
        pattern=r"^sha256:[0-9a-f]{64}$",
        json_schema_extra={"patternErrorMessage": "sha256: and 64 hexadecimal digits, as `conveyor data verify` prints it"},
    ),
]


class Csv(Section):
    """How tables in CSV and other delimited text are read. What is not given is found out from the files."""

    delimiter: _Character | None = None
    """The character between two fields, such as ";" or "\\t"."""
    quote: Annotated[str, Field(max_length=1), AfterValidator(_ascii)] | None = None
    """The character around fields that contain delimiters or line breaks. An empty string: none."""
    header: bool | Annotated[list[str], Field(min_length=1)] | None = None
    """Whether the first line has the names of the columns; their names, in order, where no line has them."""
    comment: _Character | None = None
    """Lines that begin with this character are left out."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = None
    """The encoding of the files, as Python names it: utf-8, cp1252, utf-16, shift_jis."""
    decimal: Literal[".", ","] | None = None
    """The decimal mark of numbers."""
    thousands: Literal[",", ".", " ", "'", "_"] | None = None
    """The mark between groups of three digits in numbers."""
    nulls: list[str] | None = None
    """The words that mean that there is no value, in every column. Words such as NA, null and ? mean it in any case where the
    other values of a column are numbers or times."""


ColumnType = Literal["text", "integer", "float", "boolean", "time"]
DateOrder = Literal["day_first", "month_first"]


class Data(Section):
    """Where the rows come from."""

    input: InputPattern
    """A file pattern: `*` and `?` as in a shell, `{SPAN}` and optionally `{VERSION}` for numbers in the path, of which
    the newest are read (of each span, its newest version)."""
    format: Literal["auto", "csv", "json", "parquet", "tfrecord"] = "auto"
    """`auto` goes by the file name (.csv, .tsv, .txt; .jsonl, .ndjson, .json; .parquet; .tfrecord; also followed by .gz, .bz2
    or .zst, and with the numbers of shards), and else by the content. `csv` is for text with any delimiter."""
    csv: Csv = Csv()
    """How tables in CSV and other delimited text are read. What is not given is found out from the files."""
    columns: dict[str, ColumnType] = Field(default_factory=dict)
    """The types of single columns, by name; the others follow from the schema and from all of their values. Text keeps what
    is written, such as the zeros of 007; a value that does not fit stops the run."""
    keep: list[str] = Field(default_factory=list)
    """Columns that are read although they are ignored as features and nothing else uses them: a baseline that takes them can
    only be compared with if it gets them."""
    dates: DateOrder | None = None
    """Whether 01/02/2013 is the first of February or the second of January. Found out when not given, by days above 12."""
    unlabelled: Literal["refuse", "drop"] = "refuse"
    """Rows in which the label has no value: `refuse` stops the run, `drop` leaves them out before anything else is done, and
    says how many there were."""
    split: Split = Split()
    """How rows are divided into `train` and `eval`."""
    newest_span: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Pretend that no span after this one exists: to repeat an earlier run, or to try one span. Newest when not given."""
    fingerprint: _Fingerprint | None = None
    """The version of the data, as `conveyor data verify` prints it: a run that would read anything else stops before. Any when
    not given."""
    compression: Literal["gzip", "none"] = "gzip"
    """Compression of the TFRecord files that ExampleGen writes."""


class SchemaSource(Section):
    """Where the schema comes from, and what happens to data that breaks it."""

    path: Annotated[ConfigPath, Field(min_length=1)] | None = None
    """A curated schema in protobuf text format (.pbtxt). Inferred from the training data when not given."""
    on_anomaly: Literal["stop", "warn"] | None = None
    """`stop`: a run whose data breaks the schema ends before training. `warn`: it says so and goes on. When not given, a
    curated schema stops the run; an inferred one stops it only where training could not work: a type has changed, or a
    column has no values any more."""
