"""Hosts in addresses."""

from __future__ import annotations

import pytest

from pipeline.util.hosts import bracketed


@pytest.mark.parametrize(
    ("host", "stands"), [("::", "[::]"), ("fd00::7", "[fd00::7]"), ("10.0.0.7", "10.0.0.7"), ("a.b", "a.b")]
)
def test_an_address_of_ipv6_is_in_brackets(host: str, stands: str) -> None:
    assert bracketed(host) == stands
