"""What has been seen of a column: evidence that adds up over blocks, files and runs, in any order, to the same whole."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from components.example_gen.text.forms import Form, forms_of
from components.example_gen.text.notation import Notation
from components.example_gen.values import longest_list
from components.shared.examples.kinds import Kind, is_list, kind_of


class Seen(BaseModel):
    """The values of one form.

    Attributes:
      count: how many there are.
      example: the first of them in the order of characters; empty for ordinary numbers.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    example: str

    def __add__(self, other: Seen) -> Seen:
        return Seen(count=self.count + other.count, example=min(self.example, other.example))


class Evidence(BaseModel):
    """What has been seen of a column. `+` is commutative and associative.

    Attributes:
      forms: the values in text, by what they look like.
      kinds: the kinds that columns with a type have.
      types: the types, as Arrow names them, that a tf.Example cannot hold.
      has_lists: whether a row may have several values.
    """

    model_config = ConfigDict(frozen=True)

    forms: Mapping[Form, Seen] = {}
    kinds: frozenset[Kind] = frozenset()
    types: frozenset[str] = frozenset()
    has_lists: bool = False

    @classmethod
    def of_text(cls, texts: pa.Array, notation: Notation) -> Evidence:
        """What a block of text shows; nulls show nothing."""
        found = forms_of(texts.drop_null(), notation)
        return cls(forms={form: Seen(count=count, example=example) for form, (count, example) in found.items()})

    @classmethod
    def of_type(cls, arrow_type: pa.DataType) -> Evidence:
        """What the type of a column shows."""
        kind = kind_of(arrow_type)
        if kind is None:
            return cls(types=frozenset([str(arrow_type)]))
        return cls(kinds=frozenset([kind]) - {Kind.EMPTY}, has_lists=is_list(arrow_type))

    @classmethod
    def of_feature(cls, values: pa.Array) -> Evidence:
        """What a block of a tf.Example's feature shows, whose values are lists also where each row has a single one."""
        found = cls.of_type(values.type)
        return found.model_copy(update={"has_lists": longest_list(values) > 1})

    def __add__(self, other: Evidence) -> Evidence:
        both = {form: self.forms[form] + seen for form, seen in other.forms.items() if form in self.forms}
        return Evidence(
            forms={**self.forms, **other.forms, **both},
            kinds=self.kinds | other.kinds,
            types=self.types | other.types,
            has_lists=self.has_lists or other.has_lists,
        )
