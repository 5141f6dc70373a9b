"""The formats of input files, by their names and by their first bytes."""

from __future__ import annotations

import os
import re

from components.example_gen.files import read_head
from pipeline.errors import ConfigError, DataError

_ENDINGS = {
    "csv": ("csv", "tsv", "tab", "psv", "txt", "dat", "data"),
    "json": ("jsonl", "ndjson", "json"),
    "parquet": ("parquet", "pq"),
    "tfrecord": ("tfrecord", "tfrecords"),
}
_BY_ENDING = {ending: name for name, endings in _ENDINGS.items() for ending in endings}
_COMPRESSED = re.compile(r"\.(gz|bz2|zst)$")
# TFX names shards data_tfrecord-00000-of-00002.gz, TensorFlow x.tfrecord-00000-of-00002.
_SHARD = re.compile(r"-\d+-of-\d+$")
_TEXTS = ("csv", "json")
_HEAD_BYTES = 4096

# (what a file begins with, what it is, what to do about it)
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)", "Unpack the archive, or save the sheet as CSV."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "Save the sheet as CSV."),
    (b"%PDF", "a PDF document", "Get the table as CSV."),
    (b"SQLite format 3\0", "an SQLite database", 'Write the table as CSV: sqlite3 -header -csv FILE "select * from TABLE"'),
    (b"\xfd7zXZ", "compressed with xz", "Unpack it: xz -d FILE"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it: 7z x FILE"),
    (b"ARROW1\0\0", "an Arrow IPC (Feather) file", "Write the table as Parquet."),
    (b"Obj\x01", "an Avro file", "Write the table as Parquet."),
    (b"\x89HDF", "an HDF5 file", "Write the table as Parquet."),
    (b"\x80\x04\x95", "a pickle of Python's", "Write the table as Parquet."),
)
_WEB_PAGE = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)
_JSON = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*("|\})')
_NAMES = {"csv": "delimited text", "json": "JSON", "parquet": "Parquet", "tfrecord": "TFRecord"}


def format_of(path: str) -> str:
    """The format of a file by the end of its name, whether followed by .gz, .bz2 or .zst or not, or else by its content.

    Returns:
      `csv` for text with delimiters, `json`, `parquet` or `tfrecord`.

    Raises:
      ConfigError: neither tells.
      DataError: the file cannot be read.
    """
    name = _SHARD.sub("", _COMPRESSED.sub("", os.path.basename(path).lower()))
    ending = re.split(r"[._]", name)[-1]
    found = _BY_ENDING.get(ending) if ending != name else None
    if found is None:
        head = read_head(path, _HEAD_BYTES)
        _refuse_foreign(path, head)
        found = _binary_format(head) or ("json" if _JSON.match(head) else None)
    if found is None:
        raise ConfigError(
            "The format of the input cannot be derived from the file's name.",
            where=path,
            expected="a name that ends in " + ", ".join(f".{known}" for known in _BY_ENDING) + ", also followed by .gz",
            seen=os.path.basename(path),
            fix=f"Set data.format to one of {', '.join(_ENDINGS)}; csv is for any text with delimiters.",
        )
    return found


def require_format(path: str, file_format: str) -> None:
    """Checks that a file does not begin like one of another format.

    Raises:
      DataError: it does, or cannot be read.
    """
    head = read_head(path, _HEAD_BYTES)
    _refuse_foreign(path, head)
    found = _binary_format(head) or ("json" if file_format == "csv" and _JSON.match(head) else None)
    if found in (None, file_format):
        return
    raise DataError(
        f"The file is {_NAMES[found]}, which is not what its name or data.format says.",
        where=path,
        expected=_NAMES[file_format],
        seen=_NAMES[found],
        fix=f"Set data.format to {found}.",
    )


def _refuse_foreign(path: str, head: bytes) -> None:
    found = next(((what, fix) for magic, what, fix in _FOREIGN if head.startswith(magic)), None)
    if found is None and _WEB_PAGE.match(head):
        found = "a web page, or XML", "Download the file itself: what was saved is the page about it, or one that says why not."
    if found is None:
        return
    what, fix = found
    raise DataError(
        "An input file is of a format that is not read.",
        where=path,
        expected="CSV, JSON Lines, Parquet or TFRecord",
        seen=what,
        fix=fix.replace("FILE", path),
    )


def _binary_format(head: bytes) -> str | None:
    # It needs Arrow, which a run for which nothing has changed does without.
    from components.shared.examples import tfrecord

    if head.startswith(b"PAR1\x15"):
        return "parquet"
    return "tfrecord" if tfrecord.begins(head) else None
