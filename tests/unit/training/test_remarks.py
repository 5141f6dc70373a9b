"""What the Trainer tells of how columns are used."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from pipeline.config import Task
from pipeline.training import remarks
from pipeline.training.features import Bucketised, Categorical, FeaturePlan, Text, Time, Vector
from pipeline.training.labels import LabelEncoding


def test_every_column_of_lists_is_named_with_its_use():
    plan = FeaturePlan(
        numeric=("plain",),
        pooled=tuple(f"n{number}" for number in range(12)),
        vectors=(Vector("v", 3),),
        time=(Time("once", ("hour_of_day",)), Time("often", ("hour_of_day",), is_list=True)),
        bags=(Bucketised("b", 4), Categorical("tags", 10, 1, None), Text("words", 10, None)),
    )
    [remark] = remarks.on_lists(plan)
    assert remark == (
        "Columns of lists are used whole: tags as bags of categories; b as bags of buckets; n0, n1, n2, n3, n4, n5, n6, n7, "
        "n8, n9 and 2 more by mean, least, greatest and number of values; v value by value; often by the means of their cycles."
    )
    assert not list(remarks.on_lists(FeaturePlan(numeric=("plain",), bags=(Text("words", 10, None),))))


def _remarks(indices: list[list[int]], vocabulary: int) -> list[str]:
    names = ("text: x", "whole")
    plan = FeaturePlan(categorical=tuple(Categorical(name, vocabulary, 2, None) for name in names))
    sizes, dtypes = dict.fromkeys(names, vocabulary), dict(zip(names, ("string", "int"), strict=True))
    return list(remarks.on_rare_values(plan, sizes, np.array(indices, np.int64).T, dtypes))


def test_a_category_whose_values_hardly_repeat_is_told_with_a_remedy():
    [text, whole] = _remarks([[*range(1, 61)] + [0] * 40, [1] * 40 + [4, 5] * 30], 60)[:1] + _remarks(
        [[1] * 100, [1] * 40 + [4, 5] * 30], 3
    )
    assert "'text: x'" in text
    assert "100%" in text
    assert '`features: {"text: x": {kind: ignore}}`; if it holds text of several words, `kind: text` instead.' in text
    assert "60% of the rows" in whole
    assert whole.endswith('`features: {"whole": {kind: ignore}}`.')


def test_values_that_repeat_few_rows_and_no_values_are_no_matter():
    assert not _remarks([[1, 2] * 50, [0] * 100], 3)
    assert not _remarks([[*range(1, 41)], [0] * 40], 60)
    assert not _remarks([[1] * 50 + [5] * 50, [1, 2, 3, 3, 2] * 20], 3)


@pytest.mark.parametrize("named", [None, "paid: late"])
def test_the_positive_class_of_text_is_told_and_the_remedy_names_the_other(named: str | None):
    labels = np.array([b"paid: late"] * 3 + [b"paid"], object)
    encoding = LabelEncoding.fit(Task.BINARY, "kind", labels, named)
    remark = remarks.on_positive_class(encoding, encoding.encode(labels))
    negative, positive = encoding.classes
    assert repr(positive) in remark
    assert ("75.0%" if named else "25.0%") in remark
    remedy = yaml.safe_load(remark.split("`")[1])
    assert LabelEncoding.fit(Task.BINARY, "kind", labels, **remedy).classes == (positive, negative)


@pytest.mark.parametrize("values", [[0, 1], [b"no", b"yes"]])
def test_an_order_that_is_plain_is_not_told(values: list[object]):
    labels = np.array(values, object if isinstance(values[0], bytes) else None)
    encoding = LabelEncoding.fit(Task.BINARY, "kind", labels)
    assert not remarks.on_positive_class(encoding, encoding.encode(labels))


def test_several_classes_have_no_positive_one():
    labels = np.array([b"a", b"b", b"c"], object)
    encoding = LabelEncoding.fit(Task.MULTICLASS, "kind", labels)
    assert not remarks.on_positive_class(encoding, encoding.encode(labels))
