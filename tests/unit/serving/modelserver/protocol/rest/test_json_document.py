"""JSON as TensorFlow Serving reads it, and how it tells what is wrong."""

from __future__ import annotations

import math
import tracemalloc

import pytest

from serving.modelserver.protocol.rest.json_document import describe, num_bytes, parse, to_bytes, to_text
from serving.modelserver.status import StatusError


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"x": 1}', 1),
        (b' \r\n\t{"x": 1}', 1),
        (b'\xef\xbb\xbf{"x": 1}', 1),
        (b'{"x": 1} and what follows', 1),
        (b'{"x": Infinity}', math.inf),
        (b'{"x": -Infinity}', -math.inf),
        (b'{"x": Inf}', math.inf),
        (b'{"x": [-Inf, "Inf", "a \\" Inf"]}', [-math.inf, "Inf", 'a " Inf']),
        (b'{"x": 1e400}', math.inf),
    ],
)
def test_what_is_read(body: bytes, value: object) -> None:
    assert parse(body)["x"] == value


def test_nan_is_a_number() -> None:
    assert math.isnan(parse(b'{"x": NaN}')["x"])


def test_bytes_that_are_no_utf_8_are_kept() -> None:
    assert to_bytes(parse(b'{"x": "a\xff\xfe"}')["x"]) == b"a\xff\xfe"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"  ", "JSON Parse error: The document is empty. at offset: 2"),
        (b"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"x": }', "JSON Parse error: Invalid value. at offset: 6"),
        (b"{x: 1}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"x" 1}', "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
        (b'{"x": [1 2]}', "JSON Parse error: Missing a comma or ] after an array element. at offset: 9"),
        (b'{"x": [1], "]": 1 2}', "JSON Parse error: Missing a comma or } after an object member. at offset: 18"),
        (b'{"x": "1}', "JSON Parse error: Missing a closing quotation mark in string. at offset: 6"),
        (b'{"x": "\\q"}', "JSON Parse error: Invalid escape character in string. at offset: 7"),
        (b'{"x": "\\u00g0"}', "JSON Parse error: Incorrect hex digit after \\u escape in string. at offset: 8"),
        ('{"ä": }'.encode(), "JSON Parse error: Invalid value. at offset: 7"),
        (b'{"x": ' + 5000 * b"1" + b"}", "JSON Parse error: Number too big to be stored in double."),
        (b'{"x": ' + 100_000 * b"[", "JSON Parse error: the document is nested too deeply"),
        (b"[1, 2]", "JSON Value: [1, 2] Is not object"),
        (b'"x"', 'JSON Value: "x" Is not object'),
        (b"null", "JSON Value: null Is not object"),
    ],
)
def test_what_is_wrong(body: bytes, message: str) -> None:
    with pytest.raises(StatusError) as failed:
        parse(body)

    assert failed.value.message == message
    assert failed.value.http_code == 400


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(StatusError, match="surrogate pair"):
        to_bytes(parse(b'{"x": "\\ud800"}')["x"])


def test_a_value_is_shown_with_its_arrays_on_one_line() -> None:
    assert describe({"a": [1, 2.5, "x"], "b": {}, "c": [{"d": None}]}) == (
        '{\n    "a": [1, 2.5, "x"],\n    "b": {},\n    "c": [{\n            "d": null\n        }]\n}'
    )


def test_a_long_value_is_cut_off() -> None:
    shown = describe(list(range(1000)))

    assert shown.startswith("[0, 1, 2,")
    assert 256 <= len(shown) < 270


def test_a_long_text_behind_inf_is_read_once() -> None:
    body = b'{"x": Inf, "y": "' + rb"\"" * 200_000

    with pytest.raises(StatusError, match="Missing a closing quotation mark in string"):
        parse(body)


@pytest.mark.parametrize(
    "value",
    [
        "[]",
        "{}",
        "[[]]",
        "1",
        "1.5",
        '"abcd"',
        '{"a": 1}',
        '{"a": {"b": [1.5, "c"]}}',
        "[1]",
        '{"b64": "AAAA"}',
        "null",
        "123456789",
        f'"{"é" * 50}😀"',
    ],
)
def test_what_a_body_takes_is_known_before_it_is_read(value: str) -> None:
    body = ('{"x": [' + ", ".join([value] * 20_000) + "]}").encode()

    tracemalloc.start()
    document = parse(body)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(document["x"]) == 20_000
    assert taken < num_bytes(body)


@pytest.mark.parametrize("text", ["\udcff", "a\ud800"])
def test_names_are_utf_8(text: str) -> None:
    assert to_text("ä") == "ä"
    with pytest.raises(StatusError, match=r"UTF-8|surrogate pair"):
        to_text(text)
