"""Paths as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.util.paths import expand_home, require_path


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        ("s3://bucket/x", "/mnt/bucket/x"),
        ("gs://bucket", "/mnt/bucket"),
        ("https://example.com/a.csv", "/mnt/example.com/a.csv"),
        ("hdfs:///data", "/mnt/data"),
        ("s3:/bucket", "/mnt/bucket"),
        ("file:///data/a.csv", "/data/a.csv"),
        ("file://localhost/data/a.csv", "/data/a.csv"),
        ("FILE:/data", "/data"),
    ],
)
def test_an_address_is_refused_and_the_remedy_is_a_path(address, instead):
    with pytest.raises(UsageError, match="not a path") as caught:
        require_path(address, where="data.input")

    assert caught.value.where == "data.input"
    assert caught.value.fix.rpartition(" ")[2] == instead
    require_path(instead)


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9+.-]+://.*", fullmatch=True))
def test_no_address_passes(text):
    with pytest.raises(UsageError):
        require_path(text)


@pytest.mark.parametrize("path", ["a.csv", "/data/*.csv", "{workspace}/a", "./s3:/x", "a b:c", "12:30/x", "c:/x", "", "é://x"])
def test_a_path_is_a_path(path):
    require_path(path)


def test_home_folders(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")

    assert expand_home("~/data/*.csv") == "/home/ada/data/*.csv"
    assert expand_home("data/~/x") == "data/~/x"
    assert expand_home("~root/x").startswith("/")


def test_the_home_of_a_user_who_is_not_there():
    with pytest.raises(UsageError, match="no user 'nobody-here'") as caught:
        expand_home("~nobody-here/x")

    assert "./~nobody-here/x" in caught.value.fix
    assert expand_home("./~nobody-here/x") == "./~nobody-here/x"
