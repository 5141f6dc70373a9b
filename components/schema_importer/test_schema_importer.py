"""The schema importer: its output, and its errors for broken schema files."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0.schema_pb2 import Schema
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.schema_importer.component import Executor, SchemaImporter
from components.schema_importer.schema_file import read_curated_schema
from pipeline.errors import ConfigError

TEXT = 'feature { name: "fare" type: FLOAT } feature { name: "café" type: BYTES }'


def test_the_output_is_what_tfx_reads(tmp_path: Path) -> None:
    output = standard_artifacts.Schema()
    output.uri = str(tmp_path / "schema" / "7")
    Executor().Do({}, {"schema": [output]}, {"schema_text": TEXT})

    assert io_utils.SchemaReader().read(f"{output.uri}/schema.pbtxt") == text_format.Parse(TEXT, Schema())


def test_an_edited_schema_is_another_cache_key() -> None:
    node = SchemaImporter(schema_text=TEXT)
    assert node.exec_properties == {"schema_text": TEXT}
    assert node.outputs["schema"].type_name == standard_artifacts.Schema.TYPE_NAME


def test_reads_a_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.pbtxt").write_text(f"# ours\n{TEXT}", encoding="utf-8")
    assert [feature.name for feature in read_curated_schema(tmp_path / "schema.pbtxt").feature] == ["fare", "café"]


def test_the_flights_schema_can_be_read() -> None:
    schema = read_curated_schema(Path(__file__).parents[2] / "examples" / "flights" / "schema.pbtxt")
    assert "late" in {feature.name for feature in schema.feature}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'feature {\n  name: "fare"\n  typ: FLOAT\n}', "line 3, column 3"),
        (b'feature { name: "fare" type: FLOAT', "cannot be parsed"),
        (b"a,b\n1,2\n", "line 1, column 1"),
        (b"\xff\xfe\x00", "is not text"),
        (b"# nothing yet\n", "no feature"),
        (b'feature { name: "a" } feature { name: "a" }', "'a' 2 times"),
        (b'feature { name: "a" domain: "towns" } string_domain { name: "town" }', "does not define"),
    ],
)
def test_a_broken_schema_file(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read_curated_schema(path)
    assert problem in str(raised.value)
    assert str(path) in raised.value.where


def test_a_schema_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_curated_schema(tmp_path / "schema.pbtxt")
