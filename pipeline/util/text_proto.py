"""Edits messages in protobuf text format as a person would: what changes is changed, comments and layout stay.

The format: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_Message = TypeVar("_Message", bound=Message)

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<comment>\#[^\n]*)|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<bare>[\w.+-]+)|(?P<mark>.)""",
    re.DOTALL,
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}
_INDENT = "  "


class UneditableError(Exception):
    """The text uses a part of the format that is not edited here, such as an extension; or it is no message."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass
class _Value:
    """A scalar, or a message between two marks: `start` is where it begins, `end` is behind it."""

    start: int
    end: int
    fields: list[_Field] | None = None


@dataclass
class _Field:
    """A field with its values, of which there are several where they stand in one list."""

    name: str
    start: int
    end: int
    values: list[_Value] = field(default_factory=list)
    is_list: bool = False


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def edited(text: str, before: _Message, after: _Message) -> str:
    """Changes a text so that another message can be read from it.

    Args:
      text: a message in text format.
      before: the message in it.
      after: the message that is wanted. Messages of a repeated field are compared by their position.

    Returns:
      The text with every comment, and as it was but for the fields that differ.

    Raises:
      UneditableError: the text has what is not edited here.
    """
    fields = _Parser(text).message()
    result = text
    edits = list(_Editor(text).edits(fields, before, after, None))
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        result = result[: edit.start] + edit.text + result[edit.end :]
    if text_format.Parse(result, type(after)()) != after:
        raise UneditableError("the edited text would mean something else")
    return result


def rendered(message: Message) -> str:
    """A message as text: a line for each field, those of its messages indented below it, what is within these on one line."""
    return "\n".join(_rendered(descriptor, value) for descriptor, value in _items(message)) + "\n"


class _Parser:
    """Finds out where in a text the fields are."""

    def __init__(self, text: str) -> None:
        found = (_Token(each.lastgroup or "", each.group(), *each.span()) for each in _TOKEN.finditer(text))
        self._tokens = [token for token in found if token.kind not in ("space", "comment")]
        self._at = 0

    def message(self, closing: str = "") -> list[_Field]:
        fields = []
        while self._next() != closing:
            fields.append(self._field())
            if self._next() in (",", ";"):
                self._take()
        return fields

    def _field(self) -> _Field:
        name = self._take("bare")
        if self._next() == ":":
            self._take()
        found = _Field(name.text, name.start, name.end)
        if self._next() == "[":
            self._take()
            found.is_list = True
            while self._next() != "]":
                found.values.append(self._value())
                if self._next() == ",":
                    self._take()
            found.end = self._take().end
        else:
            found.values.append(self._value())
            found.end = found.values[0].end
        return found

    def _value(self) -> _Value:
        token = self._take()
        if token.text in _CLOSING:
            fields = self.message(_CLOSING[token.text])
            return _Value(token.start, self._take().end, fields)
        if token.kind not in ("string", "bare"):
            raise UneditableError(f"{token.text!r} where a value should be")
        end = token.end
        # Strings that stand side by side are one.
        while token.kind == "string" and self._at < len(self._tokens) and self._tokens[self._at].kind == "string":
            end = self._take().end
        return _Value(token.start, end)

    def _next(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _take(self, kind: str = "") -> _Token:
        if self._at == len(self._tokens) or (kind and self._tokens[self._at].kind != kind):
            raise UneditableError(f"{self._next() or 'the end'!r} where a {kind or 'part'} of a message should be")
        self._at += 1
        return self._tokens[self._at - 1]


class _Editor:
    """Finds the edits that turn one message into another."""

    def __init__(self, text: str) -> None:
        self._text = text

    def edits(self, fields: Sequence[_Field], before: Message, after: Message, place: _Value | None) -> Iterator[_Edit]:
        """The edits of a message.

        Args:
          fields: its fields in the text.
          before: the message in the text.
          after: the message that is wanted.
          place: the message with its marks; None for the text as a whole.
        """
        missing: list[str] = []
        for descriptor in before.DESCRIPTOR.fields:
            found = [each for each in fields if each.name == descriptor.name]
            old, new = _values(before, descriptor), _values(after, descriptor)
            if old == new:
                continue
            if len(old) != sum(len(each.values) for each in found):
                raise UneditableError(f"{descriptor.name} is written in an unknown way")
            places = [(each, value) for each in found for value in each.values]
            for (_, value), was, now in zip(places, old, new, strict=False):
                if was == now:
                    continue
                if value.fields is None:
                    yield _Edit(value.start, value.end, _scalar(descriptor, now))
                else:
                    yield from self.edits(value.fields, was, now, value)
            if len(new) < len(old):
                yield from self._deletions(places, len(new))
            elif found and len(new) > len(old):
                yield self._after(found[-1], descriptor, new[len(old) :])
            else:
                missing += [_rendered(descriptor, value, one_line=place is not None) for value in new[len(old) :]]
        if missing:
            yield self._at_the_end(place, missing)

    def _deletions(self, places: Sequence[tuple[_Field, _Value]], keep: int) -> Iterator[_Edit]:
        """Removes the fields behind the first `keep` values. Comments within them stay."""
        for each in {id(each): each for each, _ in places[keep:]}.values():
            if each.is_list and any(other is each for other, _ in places[:keep]):
                raise UneditableError(f"values of the list {each.name} would have to go")
            start, end = each.start, each.end
            separator = re.compile(r"[ \t]*[,;]").match(self._text, end)
            end = separator.end() if separator else end
            line = self._text.rfind("\n", 0, start) + 1
            comments = [token.group() for token in _TOKEN.finditer(self._text, start, end) if token.lastgroup == "comment"]
            indent = self._text[line:start]
            if comments or indent.strip():
                # A comment reaches to the end of its line.
                yield _Edit(start, end, "".join(f"{comment}\n{_blank(indent)}" for comment in comments))
            else:
                rest = re.compile(r"[ \t]*\n").match(self._text, end)
                yield _Edit(line, rest.end(), "") if rest else _Edit(start, end, "")

    def _after(self, last: _Field, descriptor: FieldDescriptor, values: Sequence[Any]) -> _Edit:
        """Puts values behind the last field of that name."""
        if last.is_list:
            texts = [_scalar(descriptor, value) for value in values]
            return _Edit(last.values[-1].end, last.values[-1].end, "".join(f", {text}" for text in texts))
        line = self._text.rfind("\n", 0, last.start) + 1
        indent = self._text[line : last.start]
        rest = re.compile(r"[ \t]*(#[^\n]*)?(?=\n|$)").match(self._text, last.end)
        if indent.strip() or rest is None:
            texts = [_rendered(descriptor, value, one_line=True) for value in values]
            return _Edit(last.end, last.end, "".join(f" {text}" for text in texts))
        texts = [_rendered(descriptor, value, one_line=bool(indent)) for value in values]
        return _Edit(rest.end(), rest.end(), "".join(f"\n{indent}{text}" for text in texts))

    def _at_the_end(self, place: _Value | None, fields: Sequence[str]) -> _Edit:
        """Puts fields at the end of a message that has none of that name."""
        if place is None:
            newline = "" if not self._text or self._text.endswith("\n") else "\n"
            return _Edit(len(self._text), len(self._text), newline + "".join(f"{each}\n" for each in fields))
        closing = place.end - 1
        line = self._text.rfind("\n", 0, closing) + 1
        indent = self._text[line:closing]
        if line > place.start and not indent.strip():
            return _Edit(line, line, "".join(f"{indent}{_INDENT}{each}\n" for each in fields))
        space = "" if self._text[closing - 1].isspace() else " "
        return _Edit(closing, closing, f"{space}{' '.join(fields)} ")


def _values(message: Message, descriptor: FieldDescriptor) -> list[Any]:
    if descriptor.is_repeated:
        return list(getattr(message, descriptor.name))
    return [getattr(message, descriptor.name)] if message.HasField(descriptor.name) else []


def _items(message: Message) -> Iterator[tuple[FieldDescriptor, Any]]:
    for descriptor in message.DESCRIPTOR.fields:
        for value in _values(message, descriptor):
            yield descriptor, value


def _rendered(descriptor: FieldDescriptor, value: Any, *, one_line: bool = False) -> str:
    if descriptor.message_type is None:
        return f"{descriptor.name}: {_scalar(descriptor, value)}"
    fields = [_rendered(inner, each, one_line=True) for inner, each in _items(value)]
    if one_line:
        return f"{descriptor.name} {{ {' '.join(fields)} }}" if fields else f"{descriptor.name} {{ }}"
    return "\n".join([f"{descriptor.name} {{", *(f"{_INDENT}{each}" for each in fields), "}"])


def _scalar(descriptor: FieldDescriptor, value: Any) -> str:
    stream = StringIO()
    text_format.PrintFieldValue(descriptor, value, stream, as_utf8=True)
    return stream.getvalue()


def _blank(indent: str) -> str:
    return indent if not indent.strip() else " "
