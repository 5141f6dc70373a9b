"""JSON as TensorFlow Serving's parser reads it, with its errors."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from serving.modelserver.status import StatusError, invalid_argument

# RapidJSON's words for the errors of Python's parser.
_PROBLEMS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_MISSING_COMMA = "Expecting ',' delimiter"
_TOO_BIG = "Number too big to be stored in double."
# RapidJSON reads Inf besides Infinity; Python does not. One token a match, so that no text takes more than one look.
_QUOTE_OR_INF = re.compile(r'\\.|"|\bInf\b', re.DOTALL)
_QUOTE_OR_BRACKET = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_FOUR_BYTES = re.compile(b"[\xf0-\xf4]")
# What Python takes for an object, a list and a value in it, at the most.
_OBJECT_BYTES, _LIST_BYTES, _VALUE_BYTES = 240, 88, 64
_DECODER = json.JSONDecoder()
_INDENT = "    "
_SHOWN_LENGTH = 256


def parse(body: bytes) -> dict[str, Any]:
    """Reads a request. Text behind the object is ignored, and NaN and Infinity are numbers, as in TensorFlow Serving.

    Args:
      body: the request's body. Bytes that are not UTF-8 are kept as surrogates, so that they can be turned back into bytes.

    Raises:
      StatusError: the body is not JSON, or not an object.
    """
    text = body.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = _decode(text)
    except RecursionError:
        raise invalid_argument("JSON Parse error: the document is nested too deeply") from None
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {describe(document)} Is not object")
    return document


def num_bytes(body: bytes) -> int:
    """The most memory that a body takes when it is read, which may be thirty times its size.

    Args:
      body: the request's body.
    """
    # Python keeps all characters of a text in as many bytes as its widest one takes.
    width = 1 if body.isascii() else 4 if _FOUR_BYTES.search(body) else 2
    values = _OBJECT_BYTES * body.count(b"{") + _LIST_BYTES * body.count(b"[") + _VALUE_BYTES * body.count(b",")
    return 2 * width * len(body) + values


def describe(value: Any) -> str:
    """A JSON value as errors show it: laid out as TensorFlow Serving does, and cut off when it gets long."""
    text = ""
    for token in _tokens(value, 0, ""):
        text += token
        if len(text) >= _SHOWN_LENGTH:
            break
    return text


def type_name(value: Any) -> str:
    """RapidJSON's name for the type of a JSON value."""
    if isinstance(value, bool):
        return str(value)
    names = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names[type(value)]


def to_bytes(text: str) -> bytes:
    """The bytes that a string of a document stands for.

    Raises:
      StatusError: it contains half a surrogate pair.
    """
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid.") from None


def to_text(text: str) -> str:
    """A string of a document that a message can have.

    Raises:
      StatusError: its bytes are not UTF-8.
    """
    try:
        return to_bytes(text).decode()
    except UnicodeDecodeError:
        raise invalid_argument(f"JSON Value: {json.dumps(text)} is not valid UTF-8") from None


def quote(text: str) -> str:
    """A string as JSON."""
    return json.dumps(text, ensure_ascii=False)


def number_too_big() -> StatusError:
    """The error for a number that no double can hold."""
    return invalid_argument(f"JSON Parse error: {_TOO_BIG}")


def _decode(text: str) -> Any:
    start = len(text) - len(text.lstrip(" \t\n\r"))
    if start == len(text):
        raise invalid_argument(f"JSON Parse error: The document is empty. at offset: {start}")
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        if text.startswith("Inf", error.pos) or text.startswith("-Inf", error.pos):
            longer = _with_infinity(text)
            if longer != text:
                return _decode(longer)
        raise _parse_error(text, error) from None
    except ValueError:  # An integer with thousands of digits.
        raise number_too_big() from None


def _parse_error(text: str, error: json.JSONDecodeError) -> StatusError:
    problem = _PROBLEMS.get(error.msg.partition(": ")[0], error.msg)
    if error.msg == _MISSING_COMMA:
        in_object = _innermost_bracket(text[: error.pos]) == "{"
        problem = f"Missing a comma or {'} after an object member' if in_object else '] after an array element'}."
    offset = len(text[: error.pos].encode(errors="surrogateescape"))
    return invalid_argument(f"JSON Parse error: {problem} at offset: {offset}")


def _with_infinity(text: str) -> str:
    """The text with Infinity for each Inf outside of strings."""
    in_string = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal in_string
        in_string ^= found[0] == '"'
        return "Infinity" if found[0] == "Inf" and not in_string else found[0]

    return _QUOTE_OR_INF.sub(replaced, text)


def _innermost_bracket(text: str) -> str:
    """The bracket that is open at the end of a text."""
    opened: list[str] = []
    in_string = False
    for found in _QUOTE_OR_BRACKET.finditer(text):
        if found[0] == '"':
            in_string = not in_string
        elif not in_string and found[0] in "{[":
            opened.append(found[0])
        elif not in_string and found[0] in "}]":
            opened.pop()
    return opened[-1]


def _tokens(value: Any, depth: int, before: str) -> Iterator[str]:
    """The parts of a value's text: members of objects on lines of their own, arrays on one line."""
    if isinstance(value, dict):
        yield before + "{"
        for position, (name, member) in enumerate(value.items()):
            yield f"{',' if position else ''}\n{_INDENT * (depth + 1)}{quote(name)}"
            yield from _tokens(member, depth + 1, ": ")
        yield f"\n{_INDENT * depth}}}" if value else "}"
    elif isinstance(value, list):
        yield before + "["
        for position, element in enumerate(value):
            yield from _tokens(element, depth + 1, ", " if position else "")
        yield "]"
    else:
        yield before + json.dumps(value, ensure_ascii=False)
