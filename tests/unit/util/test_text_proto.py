"""Editing protobuf text: what is asked for changes, comments and layout stay."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0.schema_pb2 import DEPRECATED, FLOAT, INT, Feature, Schema

from pipeline.util.text_proto import UneditableError, edited, rendered

SCHEMA = """\
# Ours.
feature {
  name: "temp"  # degrees Fahrenheit
  type: FLOAT
  # Half of the stations report.
  presence { min_fraction: 0.5 }  # as of 2013
  float_domain { min: -40 max: 130 }
}
feature { name: "origin" type: BYTES domain: "origins" }
string_domain {
  name: "origins"
  value: ["EWR", "JFK"]  # and LGA, one day
}
"""


def parse(text: str) -> Schema:
    return text_format.Parse(text, Schema())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("feature { presence { min_fraction: 0.25 } }", "  presence { min_fraction: 0.25 }  # as of 2013"),
        ("feature { presence { min_count: 1 } }", "  presence { min_fraction: 0.5 min_count: 1 }  # as of 2013"),
        ("feature { type: INT }", "  type: INT"),
        ("feature { lifecycle_stage: DEPRECATED }", "  lifecycle_stage: DEPRECATED"),
    ],
)
def test_only_what_is_asked_for_changes(change: str, line: str) -> None:
    after = parse(SCHEMA)
    after.feature[0].MergeFrom(parse(change).feature[0])
    lines = edited(SCHEMA, parse(SCHEMA), after).splitlines()

    assert line in lines
    assert len([each for each in SCHEMA.splitlines() if each not in lines]) <= 1


def test_a_value_joins_its_list_a_message_its_neighbours() -> None:
    after = parse(SCHEMA)
    after.string_domain[0].value.append("PHL")
    after.feature[1].presence.min_count = 1
    after.feature.append(Feature(name="fare", type=FLOAT))
    text = edited(SCHEMA, parse(SCHEMA), after)

    assert '  value: ["EWR", "JFK", "PHL"]  # and LGA, one day\n' in text
    assert 'feature { name: "origin" type: BYTES domain: "origins" presence { min_count: 1 } }\n' in text
    assert 'feature {\n  name: "fare"\n  type: FLOAT\n}\n' in text


def test_what_goes_leaves_its_comments() -> None:
    after = parse(SCHEMA)
    after.feature[0].ClearField("presence")
    text = edited(SCHEMA, parse(SCHEMA), after)

    assert "presence" not in text
    assert "  # Half of the stations report.\n" in text
    assert "# as of 2013" in text


def test_the_same_message_is_the_same_text() -> None:
    assert edited(SCHEMA, parse(SCHEMA), parse(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("text", ['feature { name: "a"', "feature }", "feature: {{}", '"name"', "feature { [ext.ension]: 1 }"])
def test_what_is_not_understood_is_left_alone(text: str) -> None:
    with pytest.raises(UneditableError):
        edited(text, Schema(), Schema(feature=[Feature(name="b")]))


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


@st.composite
def features(draw: st.DrawFn) -> Feature:
    feature = Feature(name=draw(_TEXTS), type=draw(st.sampled_from([INT, FLOAT])))
    if draw(st.booleans()):
        feature.presence.min_fraction = draw(st.floats(0, 1))
    if draw(st.booleans()):
        feature.presence.min_count = draw(st.integers(0, 9))
    if draw(st.booleans()):
        feature.string_domain.value.extend(draw(st.lists(_TEXTS, max_size=3)))
    elif draw(st.booleans()):
        feature.int_domain.min = draw(st.integers(-9, 9))
    if draw(st.booleans()):
        feature.lifecycle_stage = DEPRECATED
    feature.in_environment.extend(draw(st.lists(_TEXTS, max_size=2)))
    return feature


@given(
    before=st.lists(features(), max_size=3),
    after=st.lists(features(), max_size=4),
    layout=st.sampled_from(
        [rendered, text_format.MessageToString, lambda each: text_format.MessageToString(each, as_one_line=True)]
    ),
    commented=st.sets(st.integers(0, 60)),
)
def test_any_change_can_be_made_and_no_comment_is_lost(before, after, layout, commented) -> None:
    was, wanted = Schema(feature=before), Schema(feature=after)
    # Names may hold what Python takes for the end of a line, too.
    lines = layout(was).removesuffix("\n").split("\n")
    comments = [f"#{number}#" if number in commented else "" for number in range(len(lines))]
    text = "\n".join(f"{line} {comment}" for line, comment in zip(lines, comments, strict=True))

    after_all = edited(text, was, wanted)

    assert parse(after_all) == wanted
    assert all(comment in after_all for comment in comments)
