"""Keys of a provider that cannot be trusted."""

from __future__ import annotations

import base64
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.gateway.jwks import HostileError, parse, read_keys

RSA = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
PRIVATE = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)
WEAK = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
EC = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
ED = jwt.algorithms.OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode().rstrip("=")


def test_keys_of_each_kind() -> None:
    keys = read_keys({"keys": [RSA | {"kid": "a"}, EC | {"kid": "b"}, ED | {"kid": "c"}, PRIVATE | {"kid": "d"}, RSA]})

    assert keys.keys() == {"a", "b", "c", "d", None}
    assert isinstance(keys["d"].key, rsa.RSAPublicKey)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        WEAK,
        RSA | {"e": number(2**2000 + 1)},
        RSA | {"n": number(2**20000 + 1)},
        RSA | {"use": "enc"},
        RSA | {"kid": 7},
        RSA | {"kid": {}},
        RSA | {"n": "ü"},
        RSA | {"n": None},
        RSA | {"n": ""},
        EC | {"crv": "P-999"},
        EC | {"x": "AAAA"},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        {},
        7,
        None,
        "key",
    ],
)
def test_a_key_that_cannot_be_used_is_left_out(key: Any) -> None:
    assert read_keys({"keys": [key, EC]}).keys() == {None}
    with pytest.raises(HostileError, match="none of its keys can be used"):
        read_keys({"keys": [key]})


def test_of_several_keys_with_one_id_the_last_counts() -> None:
    (key,) = read_keys({"keys": [EC, RSA]}).values()
    assert key.key_type == "RSA"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a list"),
        (None, "not a list"),
        ({"keys": {}}, "not a list"),
        ({"keys": []}, "none of its keys"),
        ({"keys": [EC] * 101}, "it has 101 keys"),
    ],
)
def test_a_set_that_is_none(document: Any, message: str) -> None:
    with pytest.raises(HostileError, match=message):
        read_keys(document)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_json(content: bytes) -> None:
    with pytest.raises(HostileError, match="it does not answer in JSON"):
        parse(content)


_NAMES = st.sampled_from(["kty", "kid", "n", "e", "crv", "x", "y", "use", "alg"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(["RSA", "EC", "AQAB"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)
_CHANGED = st.builds(
    lambda key, change: key | change, st.sampled_from([RSA, EC, ED]), st.dictionaries(_NAMES, _JSON, max_size=2)
)


@given(st.lists(_JSON | _CHANGED, max_size=5))
@settings(max_examples=100)
def test_whatever_is_sent_is_read_or_refused(keys: list[Any]) -> None:
    try:
        found = read_keys({"keys": keys})
    except HostileError:
        return
    assert all(isinstance(key, jwt.PyJWK) for key in found.values())
