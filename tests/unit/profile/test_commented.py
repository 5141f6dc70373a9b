"""YAML with comments."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.profile import to_yaml

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(
    st.dictionaries(NAMES, st.one_of(NAMES, st.integers(), st.floats(allow_nan=False)), max_size=5),
    st.dictionaries(NAMES, st.just({"kind": "ignore", "parts": ["a", "b"]}), max_size=5),
    NAMES,
)
def test_what_is_written_is_read_again_whatever_names_and_values_are(example, features, comment):
    fields = {"label": comment, "features": features, "gateway": {"example": example}}
    comments = {(): [comment], ("features",): [comment], **{("features", name): [name] for name in features}}

    read = yaml.safe_load(to_yaml(fields, comments))

    assert read == {name: value for name, value in fields.items() if value and value != {"example": {}}} | (
        {"gateway": None} if not example else {}
    )


def test_a_name_of_any_length():
    name = "x" * 3000

    assert yaml.safe_load(to_yaml({"features": {name: {"kind": "ignore"}}}, {})) == {"features": {name: {"kind": "ignore"}}}


def test_a_line_for_copying_stays_one_line():
    line = f'  "{"a b  c " * 60}": {{kind: ignore}}'

    assert to_yaml({"name": "houses"}, {(): [line]}) == f"# {line}\nname: houses\n"


def test_comments_stand_above_their_fields():
    fields = {"name": "houses", "features": {"id": {"kind": "ignore"}}, "training": {}}
    comments = {("features",): ["Number: size."], ("features", "id"): ["Identifier."], ("training",): ["Nothing."]}

    assert to_yaml(fields, comments) == (
        "name: houses\n\nfeatures:\n  # Number: size.\n  # Identifier.\n  id: {kind: ignore}\n\n# Nothing.\n"
    )
