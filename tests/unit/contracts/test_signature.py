"""Signatures of models: what they cover, and what is refused."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pipeline.contracts import signature
from pipeline.contracts.signature import FILE_NAME, UntrustedModelError
from pipeline.errors import ConfigError

KEY = ec.generate_private_key(ec.SECP256R1())

# Signed by model_signing 1.1.1: `model_signing sign key`, with a key that is gone.
FOREIGN_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcFiVpq1SYJzwr/wlc5Upps+Jq4Q6
aiQwcqdpnufPqH9dKIDVGJIu3pNMBKXz7hHb+jGP5r9znK4sgYh+rEAs2w==
-----END PUBLIC KEY-----
"""
FOREIGN_SIGNATURE = (
    '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"2a45'
    'd10dc56b7525bf9ea3b87c59fd96ed926a00e22d566281ea2c5e545b1cd0"},"tlogEntries":[]},"dsseEnvelope":{"payload":"ew'
    "ogICJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIiwKICAic3ViamVjdCI6IFsKICAgIHsKICAgICAgIm5hbWUiOiAi"
    "ZmxpZ2h0cyIsCiAgICAgICJkaWdlc3QiOiB7CiAgICAgICAgInNoYTI1NiI6ICJkMzUzODhjMWQyYmIwMGEyYzE1M2I0YTc0YWY0ZDhiNmE0Zj"
    "ZlODllNTMxNTA5NmJlNzY0MWE0NGZhNmU2ZDYzIgogICAgICB9CiAgICB9CiAgXSwKICAicHJlZGljYXRlVHlwZSI6ICJodHRwczovL21vZGVs"
    "X3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLAogICJwcmVkaWNhdGUiOiB7CiAgICAic2VyaWFsaXphdGlvbiI6IHsKICAgICAgImhhc2hfdHlwZS"
    "I6ICJzaGEyNTYiLAogICAgICAiYWxsb3dfc3ltbGlua3MiOiBmYWxzZSwKICAgICAgImlnbm9yZV9wYXRocyI6IFsKICAgICAgICAiLmdpdGF0"
    "dHJpYnV0ZXMiLAogICAgICAgICIuZ2l0aHViIiwKICAgICAgICAiLmdpdGlnbm9yZSIsCiAgICAgICAgIi5naXQiLAogICAgICAgICJtb2RlbC"
    "5zaWciCiAgICAgIF0sCiAgICAgICJtZXRob2QiOiAiZmlsZXMiCiAgICB9LAogICAgInJlc291cmNlcyI6IFsKICAgICAgewogICAgICAgICJk"
    "aWdlc3QiOiAiZWVmOTNlMWQxNDQ4MjgwNDI3N2ZjYTAxNzI0NjQwMzJkMWE0ZmRiY2MzMzg1MjQwNTlmYTFlODYxNDU0YWQ0ZCIsCiAgICAgIC"
    "AgIm5hbWUiOiAic2F2ZWRfbW9kZWwucGIiLAogICAgICAgICJhbGdvcml0aG0iOiAic2hhMjU2IgogICAgICB9LAogICAgICB7CiAgICAgICAg"
    "ImRpZ2VzdCI6ICIxYmMwNGI1MjkxYzI2YTQ2ZDkxODEzOTEzOGI5OTJkMmRlOTc2ZDY4NTFkMDg5M2IwNDc2Yjg1YmZiZGZjNmU2IiwKICAgIC"
    "AgICAibmFtZSI6ICJ2YXJpYWJsZXMvdmFyaWFibGVzLmluZGV4IiwKICAgICAgICAiYWxnb3JpdGhtIjogInNoYTI1NiIKICAgICAgfQogICAg"
    'XQogIH0KfQ==","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEUCIQC7o+gjeXHahm3dPxeBTkfji'
    'O2JBtawR70PTGrVk2fstwIgXGneJvfc+VoXXtM6T80xtfEC92z9vhtcnFugbqalTJ8=","keyid":""}]}}'
)


def in_pem(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version in the shape of a SavedModel, which is signed, and has got its card since."""
    folder = tmp_path / "7"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"weights" * 300_000)
    signature.sign(folder, "flights", KEY)
    (folder / "model_card.md").write_text("# flights")
    return folder


def test_a_version_is_as_it_was_signed(version: Path) -> None:
    assert signature.verify(version, "flights", KEY.public_key()) == 2


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_each_curve_signs(version: Path, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    signature.sign(version, "flights", key)
    assert signature.verify(version, "flights", key.public_key()) == 2


def flip_a_bit(version: Path) -> None:
    file = version / "variables" / "variables.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[1_500_000] ^= 1
    file.write_bytes(content)


def replace_by_a_link(version: Path) -> None:
    (version / "saved_model.pb").rename(version.parent / "elsewhere.pb")
    (version / "saved_model.pb").symlink_to(version.parent / "elsewhere.pb")


def hide_in_a_linked_folder(version: Path) -> None:
    (version.parent / "assets").mkdir()
    (version / "assets").symlink_to(version.parent / "assets")


TAMPERED: list[tuple[Callable[[Path], object], str, str]] = [
    (flip_a_bit, "is not the one that was signed", "variables/variables.data-00000-of-00001"),
    (lambda version: (version / "saved_model.pb").unlink(), "is missing", "saved_model.pb"),
    (lambda version: (version / "saved_model.pbtxt").write_text("other"), "was added", "saved_model.pbtxt"),
    (replace_by_a_link, "made of files alone", "saved_model.pb"),
    (hide_in_a_linked_folder, "made of files alone", "assets"),
    (lambda version: (version / FILE_NAME).unlink(), "not signed", FILE_NAME),
    (lambda version: (version / FILE_NAME).write_text("{}"), "cannot be read", FILE_NAME),
    (lambda version: (version / FILE_NAME).write_text("[" * 100_000), "cannot be read", FILE_NAME),
    (lambda version: (version / FILE_NAME).write_bytes(b"\xff\x00"), "cannot be read", FILE_NAME),
]


@pytest.mark.parametrize(("tamper", "what", "file"), TAMPERED)
def test_what_was_tampered_with_is_refused_and_named(
    version: Path, tamper: Callable[[Path], object], what: str, file: str
) -> None:
    tamper(version)
    with pytest.raises(UntrustedModelError, match=what) as caught:
        signature.verify(version, "flights", KEY.public_key())
    assert caught.value.where == str(version / file)


def test_a_statement_that_was_changed_is_refused(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(b"other")
    bundle = json.loads((version / FILE_NAME).read_text())
    honest = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    signature.sign(version, "flights", ec.generate_private_key(ec.SECP256R1()))
    forged = base64.b64decode(json.loads((version / FILE_NAME).read_text())["dsseEnvelope"]["payload"])
    assert forged != honest
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(forged).decode()
    (version / FILE_NAME).write_text(json.dumps(bundle))
    with pytest.raises(UntrustedModelError, match="signature of the model is wrong"):
        signature.verify(version, "flights", KEY.public_key())


def test_a_signature_by_another_key_is_refused_with_both_keys(version: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(UntrustedModelError, match="another key") as caught:
        signature.verify(version, "flights", other)
    assert signature.fingerprint(other) in caught.value.expected
    assert signature.fingerprint(KEY.public_key()) in caught.value.seen


def test_a_hint_alone_makes_no_trust(version: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    signature.sign(version, "flights", other)
    bundle = json.loads((version / FILE_NAME).read_text())
    bundle["verificationMaterial"]["publicKey"]["hint"] = signature.fingerprint(KEY.public_key())
    (version / FILE_NAME).write_text(json.dumps(bundle))
    with pytest.raises(UntrustedModelError, match="signature of the model is wrong"):
        signature.verify(version, "flights", KEY.public_key())


def test_a_model_does_not_pass_for_another(version: Path) -> None:
    with pytest.raises(UntrustedModelError, match="of another model") as caught:
        signature.verify(version, "houses", KEY.public_key())
    assert caught.value.seen == "the name flights"


def test_what_model_signing_has_signed_is_verified(tmp_path: Path) -> None:
    folder, key = tmp_path / "flights", tmp_path / "public.pem"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / FILE_NAME).write_text(FOREIGN_SIGNATURE)
    key.write_text(FOREIGN_KEY)
    assert signature.verify(folder, "flights", signature.public_key(key)) == 2


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "not set or is empty"),
        ("secret", "ValueError"),
        (in_pem(ed25519.Ed25519PrivateKey.generate()).decode(), "Ed25519PrivateKey"),
        (in_pem(ec.generate_private_key(ec.SECP256K1())).decode(), "on secp256k1"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, text: str, seen: str) -> None:
    monkeypatch.setenv("MODEL_SIGNING_KEY", text)
    with pytest.raises(ConfigError) as caught:
        signature.private_key("MODEL_SIGNING_KEY")
    assert seen in caught.value.seen
    assert not text or text not in str(caught.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_remedies_make_keys_that_sign_and_verify(version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        signature.private_key("MODEL_SIGNING_KEY")
    subprocess.run(caught.value.fix.rpartition(": ")[2], shell=True, check=True, cwd=tmp_path, timeout=60)
    with pytest.raises(ConfigError) as caught:
        signature.public_key(tmp_path / "public.pem")
    subprocess.run(caught.value.fix.rpartition(": ")[2], shell=True, check=True, cwd=tmp_path, timeout=60)

    monkeypatch.setenv("MODEL_SIGNING_KEY", (tmp_path / "private.pem").read_text())
    signature.sign(version, "flights", signature.private_key("MODEL_SIGNING_KEY"))
    assert signature.verify(version, "flights", signature.public_key(tmp_path / "public.pem")) == 2


@pytest.mark.parametrize("content", [None, b"", in_pem(KEY)])
def test_a_key_that_cannot_verify_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "public.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="verify models") as caught:
        signature.public_key(path)
    assert caught.value.where == str(path)
