"""The execution and artifact properties by which the component, its driver and its executor communicate."""

from __future__ import annotations

import json

from components.example_gen.spans import SingleSplit
from pipeline.config import Split

EXAMPLES = "examples"
SCHEMA = "schema"

# Set by the person who makes the node.
INPUT_PATTERN = "input_pattern"
FILE_FORMAT = "file_format"
CSV = "csv"  # JSON: the section `data.csv` of the configuration
COLUMNS = "columns"  # JSON: ColumnRules
SPLIT = "split"
LABEL = "label"
UNLABELLED = "unlabelled"
NEWEST_SPAN = "newest_span"
COMPRESSION = "compression"
UNNEEDED = "unneeded"  # JSON: a list of columns
DEMANDED = "demanded_fingerprint"  # emptied by the driver, so that the cache does not depend on it

# Found by the driver; the cache key covers them all.
INPUT_FILES = "input_files"  # JSON: the files of each split; of a hashed split the same files for both
INPUT_SPANS = "input_spans"  # JSON: the spans of each split, as (number, content's fingerprint, how many of the files)
CODE_FINGERPRINT = "code_fingerprint"

# Of the artifact, as TFX's stock ExampleGen names them.
FINGERPRINT = "input_fingerprint"
SPAN = "span"
VERSION = "version"
PAYLOAD_FORMAT = "payload_format"
OUTPUT_FORMAT = "file_format"
TF_EXAMPLE = "FORMAT_TF_EXAMPLE"
ROWS = "rows"  # JSON: how many each split has; TFX's stock ExampleGen has no such property
DIVISION = "division"  # how rows are divided between the splits, in words
BOUNDARY = "boundary"  # the first value of `eval` in the column that orders the rows
TFRECORDS = "tfrecords_gzip"  # the one format that TFX knows; readers go by a file's name whether it is compressed


def split_to_json(split: Split | SingleSplit) -> str:
    """How rows are divided, as the value of an execution property."""
    if isinstance(split, SingleSplit):
        return json.dumps({"method": "single", "name": split.name, "spans": split.spans})
    return split.model_dump_json()


def split_from_json(text: str) -> Split | SingleSplit:
    """The split that `split_to_json` was given."""
    values = json.loads(text)
    if values.get("method") == "single":
        return SingleSplit(name=values["name"], spans=values["spans"])
    return Split.model_validate(values)
