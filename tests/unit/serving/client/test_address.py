"""Addresses of models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from serving.client import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://localhost/flights", Address("grpc", "localhost:8500", "flights")),
        ("grpc://localhost:9000/flights/versions/7", Address("grpc", "localhost:9000", "flights", version=7)),
        ("grpc://[::1]:8500/flights/labels/stable", Address("grpc", "[::1]:8500", "flights", label="stable")),
        ("http://localhost:8501/v1/models/flights", Address("http", "localhost:8501", "flights")),
        ("http://localhost:8501/v1/models/flights/", Address("http", "localhost:8501", "flights")),
        ("https://example.com/ml/v1/models/a%20b", Address("https", "example.com:443", "a b", prefix="/ml")),
        ("http://example.com/v1/models/f/versions/12", Address("http", "example.com:80", "f", version=12)),
    ],
)
def test_what_an_address_says(text, address):
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8500",
        "localhost:8500/flights",
        "grpc://localhost:8500",
        "grpc:///flights",
        "grpc://localhost:port/flights",
        "grpc://localhost:99999/flights",
        "grpc://localhost/flights/versions/newest",
        "grpc://localhost/flights:predict",
        "http://localhost:8501/flights",
        "http://localhost:8501/v1/models/flights:predict",
        "http://localhost:8501/v1/models/flights?version=3",
        "ftp://localhost/flights",
        "http://[::1/v1/models/flights",
    ],
)
def test_what_is_none_is_refused_with_an_example(text):
    with pytest.raises(UsageError) as caught:
        Address.parse(text)

    assert caught.value.seen == text
    assert "grpc://HOST:PORT/MODEL" in caught.value.expected
    assert "grpc://localhost:8500/flights" in caught.value.fix


@given(st.text())
def test_any_text_is_an_address_or_refused(text):
    try:
        Address.parse(f"grpc://localhost:1/{text}")
    except UsageError as error:
        assert text in error.seen  # noqa: PT017 - most text is no address


def test_not_both_version_and_label():
    with pytest.raises(UsageError):
        Address("grpc", "localhost:8500", "flights", version=3, label="stable")
