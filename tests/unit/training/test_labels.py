"""The label as the model learns it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import Task
from pipeline.errors import DataError
from pipeline.training.labels import LabelEncoding


@pytest.mark.parametrize(
    ("values", "classes", "encoded", "is_index"),
    [
        ([0, 1, 0], (0, 1), [0, 1, 0], True),
        ([0.0, 1.0, 1.0], (0, 1), [0, 1, 1], True),
        ([2, 1, 2], (1, 2), [1, 0, 1], False),
        ([b"yes", b"no", b"yes"], ("no", "yes"), [1, 0, 1], False),
    ],
)
def test_two_classes_in_sorted_order(
    values: list[object], classes: tuple[object, ...], encoded: list[int], is_index: bool
) -> None:
    labels = np.array(values, dtype=object if isinstance(values[0], bytes) else None)
    encoding = LabelEncoding.fit(Task.BINARY, "label", labels)
    assert encoding.classes == classes
    assert encoding.encode(labels).tolist() == encoded
    assert encoding.is_index is is_index
    assert encoding.num_outputs == 1


@pytest.mark.parametrize(
    ("positive_class", "classes"), [(None, ("paid", "fraud")), ("fraud", ("paid", "fraud")), ("paid", ("fraud", "paid"))]
)
def test_the_rarer_or_the_named_class_is_positive(positive_class: str | None, classes: tuple[str, str]) -> None:
    labels = np.array([b"paid"] * 9 + [b"fraud"], object)
    encoding = LabelEncoding.fit(Task.BINARY, "kind", labels, positive_class)
    assert encoding.classes == classes
    assert encoding.encode(labels).tolist() == [float(classes[1].encode() == each) for each in labels]


def test_the_smaller_of_two_numbers_may_be_positive() -> None:
    labels = np.array([0, 1, 1])
    encoding = LabelEncoding.fit(Task.BINARY, "kind", labels, 0)
    assert encoding.classes == (1, 0)
    assert encoding.encode(labels).tolist() == [1, 0, 0]
    assert not encoding.is_index


def test_several_classes_have_an_output_each() -> None:
    labels = np.array([b"b", "ü".encode(), b"a", b"a"], dtype=object)
    encoding = LabelEncoding.fit(Task.MULTICLASS, "label", labels)
    assert encoding.classes == ("a", "b", "ü")
    assert encoding.encode(labels).tolist() == [1, 2, 0, 0]
    assert encoding.num_outputs == 3


def test_a_number_is_standardised() -> None:
    labels = np.array([1e9, 3e9, 5e9])
    encoding = LabelEncoding.fit(Task.REGRESSION, "label", labels)
    encoded = encoding.encode(labels)
    assert encoded.mean() == pytest.approx(0)
    assert encoded.std() == pytest.approx(1)
    assert encoded * encoding.deviation + encoding.mean == pytest.approx(labels)


@pytest.mark.parametrize(
    ("task", "values", "what"),
    [
        (Task.BINARY, [], "is missing"),
        (Task.BINARY, [0, 1, np.iinfo(np.int64).min], "is missing"),
        (Task.MULTICLASS, [b"a", b"b", b""], "is missing"),
        (Task.REGRESSION, [1.0, float("nan")], "is missing"),
        (Task.BINARY, [1, 1, 1], "a single value"),
        (Task.REGRESSION, [2.5, 2.5], "a single value"),
        (Task.BINARY, [0, 1, 2], "more than two values"),
        (Task.MULTICLASS, [0.5, 1.0], "has fractions"),
        (Task.REGRESSION, [b"a", b"b"], "is text"),
        (Task.BINARY, [b"\xff", b"\xfe"], "is not text"),
        (Task.MULTICLASS, [b"a", b"\xff", b"c"], "is not text"),
    ],
)
def test_a_label_that_nothing_can_be_learnt_from_is_refused(task: Task, values: list[object], what: str) -> None:
    labels = np.array(values, dtype=object if values and isinstance(values[0], bytes) else None)
    with pytest.raises(DataError, match=what) as error:
        LabelEncoding.fit(task, "tip", labels)
    assert "tip" in error.value.where
    assert error.value.fix


@pytest.mark.parametrize("values", [[b"\xff", b"\xfe", b"\xff"], [b"caf\xe9", b"tea", b"tea"]])
def test_bytes_in_hexadecimal_digits_are_a_label(values: list[bytes]) -> None:
    """The remedy of the refusal."""
    with pytest.raises(DataError, match="is not text") as error:
        LabelEncoding.fit(Task.BINARY, "tip", np.array(values, object))
    assert "hexadecimal" in error.value.fix
    labels = np.array([value.hex().encode() for value in values], object)
    assert set(LabelEncoding.fit(Task.BINARY, "tip", labels).classes) == {value.hex() for value in values}


@pytest.mark.parametrize(
    ("train", "evaluated", "seen"),
    [
        ([b"a", b"b"], [b"b", b"c", b""], "'c'"),
        ([0, 1, 2], [0, 3, 4, np.iinfo(np.int64).min], "3, 4"),
        ([0.0, 1.0], [1.0, 2.0, float("nan")], "2.0"),
    ],
)
def test_a_class_that_only_the_evaluation_rows_have_is_refused(train: list[object], evaluated: list[object], seen: str) -> None:
    kind = object if isinstance(train[0], bytes) else None
    encoding = LabelEncoding.fit(Task.MULTICLASS, "tip", np.array(train, kind))
    with pytest.raises(DataError, match="does not know") as error:
        encoding.check_known("tip", np.array(evaluated, kind), "split eval")
    assert error.value.seen == seen
    encoding.check_known("tip", np.array(train, kind), "split eval")


def test_a_regression_knows_every_number() -> None:
    LabelEncoding.fit(Task.REGRESSION, "tip", np.array([1.0, 2.0])).check_known("tip", np.array([3.0]), "split eval")
