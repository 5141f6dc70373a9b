from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.contracts.schema import Schema, SchemaFeature, parse_schema, read_schema
from pipeline.errors import ConfigError


def features(text: str) -> dict[str, SchemaFeature]:
    return dict(Schema.of(parse_schema(text.encode(), "schema.pbtxt")).by_name)


def test_types_and_presence():
    found = features("""
        feature { name: "all" type: FLOAT presence { min_fraction: 1 min_count: 1 } }
        feature { name: "some" type: INT presence { min_count: 1 } }
        feature { name: "half" type: BYTES presence { min_fraction: 0.5 } }
        feature { name: "any" type: BYTES lifecycle_stage: DEPRECATED }
    """)

    assert {name: feature.type for name, feature in found.items()} == {
        "all": "float",
        "some": "int",
        "half": "bytes",
        "any": "bytes",
    }
    assert [(feature.is_required, feature.is_expected) for feature in found.values()] == [
        (True, True),
        (False, True),
        (False, True),
        (False, False),
    ]
    assert [name for name, feature in found.items() if feature.is_deprecated] == ["any"]


def test_domains():
    found = features("""
        feature { name: "from" type: FLOAT float_domain { min: 0 } }
        feature { name: "range" type: INT int_domain { min: -1 max: 1 is_categorical: true } }
        feature { name: "seconds" type: INT time_domain { integer_format: UNIX_SECONDS } }
        feature { name: "days" type: INT time_domain { integer_format: UNIX_DAYS } }
        feature { name: "text" type: BYTES natural_language_domain {} }
        feature { name: "none" type: BYTES }
    """)

    assert [feature.domain for feature in found.values()] == ["float", "int", "time", "time", "natural_language", ""]
    assert (found["from"].smallest, found["from"].largest) == (0, None)
    assert (found["range"].smallest, found["range"].largest, found["range"].is_categorical) == (-1, 1, True)
    assert [name for name, feature in found.items() if feature.is_unix_time] == ["seconds"]


def test_known_values_are_the_feature_s_own_or_shared():
    found = features("""
        feature { name: "own" type: BYTES string_domain { value: "a" } }
        feature { name: "shared" type: BYTES domain: "towns" distribution_constraints { min_domain_mass: 0.9 } }
        feature { name: "strict" type: BYTES domain: "towns" distribution_constraints { min_domain_mass: 1 } }
        feature { name: "open" type: BYTES }
        string_domain { name: "towns" value: "Bern" value: "Basel" }
    """)

    assert [(feature.domain, feature.values, feature.is_closed) for feature in found.values()] == [
        ("string", ("a",), True),
        ("string", ("Bern", "Basel"), False),
        ("string", ("Bern", "Basel"), True),
        ("", (), False),
    ]


def test_environments_and_shapes():
    found = features("""
        feature { name: "label" not_in_environment: "SERVING" }
        feature { name: "id" in_environment: "SERVING" shape { dim { size: 2 } dim { size: 3 } } }
    """)

    assert (found["label"].not_environments, found["label"].environments, found["label"].shape) == (("SERVING",), (), None)
    assert (found["id"].environments, found["id"].shape) == (("SERVING",), (2, 3))


def test_lists_are_what_may_have_several_values_in_a_row():
    schema = Schema.of(
        parse_schema(
            b"""
        feature { name: "unsaid" }
        feature { name: "one" value_count { min: 1 max: 1 } }
        feature { name: "optional" value_count { max: 1 } }
        feature { name: "scalar" shape {} }
        feature { name: "single" shape { dim { size: 1 } } }
        feature { name: "empty" value_count {} }
        feature { name: "least" value_count { min: 0 } }
        feature { name: "unsized" shape { dim {} } }
        feature { name: "any" value_count { min: 1 } }
        feature { name: "some" value_count { min: 1 max: 3 } }
        feature { name: "three" value_count { min: 3 max: 3 } }
        feature { name: "matrix" shape { dim { size: 2 } dim { size: 3 } } }
        """,
            "schema.pbtxt",
        )
    )
    assert schema.lists == {"least": None, "unsized": None, "any": None, "some": None, "three": 3, "matrix": 6}


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        (b'feature {\n  name: "fare"\n  typ: FLOAT\n}', "The schema cannot be parsed.", "schema.pbtxt, line 3, column 3"),
        (b"\xff\xfe\x00", "The schema is not text.", "schema.pbtxt"),
    ],
)
def test_a_file_that_is_not_a_schema(content, what, where):
    with pytest.raises(ConfigError) as raised:
        parse_schema(content, "schema.pbtxt")

    assert (raised.value.what, raised.value.where) == (what, where)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError) as raised:
        read_schema(tmp_path / "schema.pbtxt", fix="Correct schema.path.")

    assert (raised.value.where, raised.value.fix) == (str(tmp_path / "schema.pbtxt"), "Correct schema.path.")


def test_a_schema_is_read_without_tensorflow():
    program = (
        "import sys\nfrom pipeline.contracts.schema import Schema, parse_schema\n"
        "Schema.of(parse_schema(b'feature { name: \"a\" }', ''))\n"
        "assert 'tensorflow' not in sys.modules and 'tfx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
