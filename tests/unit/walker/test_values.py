from __future__ import annotations

from typing import Any

import pytest

from tests.walker import values
from tests.walker.values import Type


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (201304, "201304"),
        (0.5, "0.5"),
        (1e-05, "1e-05"),
        (999999.5, "999999.5"),
        (1234567.5, "1.2345675e+06"),
        (True, "true"),
        (None, ""),
        ({"b": [1, 2.5], "a": "ü"}, '{"a":"ü","b":[1,2.5]}'),
    ],
)
def test_a_value_in_an_argument_is_written_as_go_writes_it(value: Any, text: str) -> None:
    assert values.text(value) == text


@pytest.mark.parametrize(
    ("content", "kind", "value"),
    [
        ("7\n", Type.STRING, "7\n"),
        ("7\n", Type.NUMBER_INTEGER, 7),
        ("7.5", Type.NUMBER_DOUBLE, 7.5),
        ("True", Type.BOOLEAN, True),
        ("[1]", Type.LIST, [1]),
        ('{"a": null}', Type.STRUCT, {"a": None}),
    ],
)
def test_an_output_parameter_is_read_by_its_type(content: str, kind: int, value: Any) -> None:
    assert values.parse(content, kind) == value


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        ("7.5", Type.NUMBER_INTEGER, "invalid literal"),
        ("", Type.NUMBER_DOUBLE, "could not convert"),
        ("yes", Type.BOOLEAN, "not a boolean"),
        ("{}", Type.LIST, "not a LIST"),
        ("[NaN]", Type.LIST, "not JSON"),
    ],
)
def test_an_output_parameter_of_another_type_is_refused(content: str, kind: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        values.parse(content, kind)


def test_a_boolean_is_no_number() -> None:
    assert not values.has_type(True, Type.NUMBER_INTEGER)
    assert not values.has_type(1, Type.BOOLEAN)
    assert values.has_type(1.5, Type.NUMBER_INTEGER), "the backend takes any number"
