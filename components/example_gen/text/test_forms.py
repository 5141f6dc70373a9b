from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.text.forms import FORMS, Form, classify, forms_of
from components.example_gen.text.notation import Notation

EXAMPLES = {
    Form.NULL: ["NA", "n/a", "null", "NULL", "None", r"\N", "?", "-", "nan", "-NaN", "#N/A", "  "],
    Form.TRUTH: ["true", "False", "TRUE"],
    Form.WHOLE: ["0", "-1", " 17 ", "+5", "16777216"],
    Form.LONG: ["16777217", "20130131", "9007199254740992", "-20000000"],
    Form.LONGER: ["9007199254740993", "9223372036854775807", "-9223372036854775808"],
    Form.FRACTION: ["1.5", ".5", "1.", "-1e7", "1E-7", "+2.5", "007.5"],
    Form.INFINITE: ["inf", "-Infinity", "+INF"],
    Form.CODE: ["007", "02134", "+4915112345678", "9223372036854775808", "-01", "00"],
    Form.TIME: ["2013-01-31", "2013/01/31 05:30", "31.01.2013", "31-Jan-2013", "Jan 31, 2013", "05/05/2013", "2013-01-31 05"],
    Form.ZONED_TIME: ["2013-01-31T05:30:00Z", "2013-01-31 05:30:00.123456789+02:00", "2013-01-31T05:30-05"],
    Form.DAY_FIRST: ["31/01/2013", "13-1-2013 5:30 PM"],
    Form.MONTH_FIRST: ["01/31/2013", "1/13/2013 23:59:59.9"],
    Form.EITHER_ORDER: ["01/02/2013"],
    Form.AMOUNT: [
        *("$1,200", "12%", "1,200", "1 200 EUR", "-€5", "+5 %"),
        *("21.5 °C", "3 mm/s", "2kg", "4 years", "1\u202f234"),
    ],
    Form.TEXT: [
        "a",
        "0x1F",
        "12:30",
        "31/02/2013",
        "2013-02-30",
        "2013-01-31 25:00",
        "1_000",
        "n°5",
        "13/13/2013",
        "tru",
        "10.0.1.165",
        "1,20",
        "12A",
        "3 of 4",
        "5 and more",
    ],
}


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in EXAMPLES.items() for text in texts])
def test_each_text_has_one_form(form: Form, text: str) -> None:
    assert forms_of(pa.array([text]), Notation()) == {form: (1, "" if form in (Form.WHOLE, Form.FRACTION) else text)}


@pytest.mark.parametrize(
    ("text", "form"),
    [("1,5", Form.FRACTION), ("1.200,5", Form.FRACTION), ("1.200", Form.WHOLE), ("1.5", Form.TEXT), ("12", Form.WHOLE)],
)
def test_the_marks_of_numbers_may_be_others(text: str, form: Form) -> None:
    [(seen, (count, _))] = forms_of(pa.array([text]), Notation(",", ".")).items()
    assert (seen, count) == (form, 1)


_TEXTS = st.sampled_from([text for texts in EXAMPLES.values() for text in texts]) | st.text(max_size=8)


@settings(max_examples=30)
@given(st.lists(_TEXTS | st.integers().map(str) | st.floats().map(str), min_size=1, max_size=150))
def test_the_quick_ways_find_what_the_slow_one_finds(texts: list[str]) -> None:
    codes = classify(pa.array([text.strip() for text in texts]), Notation())
    for subset in (texts, [text for text, code in zip(texts, codes, strict=True) if FORMS[code] is not Form.TEXT]):
        slow = [forms_of(pa.array([text]), Notation()) for text in subset]
        counts = {form: sum(form in found for found in slow) for form in FORMS}
        found = forms_of(pa.array(subset, pa.string()), Notation())
        assert {form: count for form, (count, _) in found.items()} == {form: count for form, count in counts.items() if count}
