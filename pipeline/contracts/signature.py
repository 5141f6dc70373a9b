"""Signed models: which files a version consists of, by their SHA-256, under a signature in its folder.

The file is one of OpenSSF's Model Signing, as `model_signing` 1 reads and writes it for elliptic keys: an in-toto statement in
a DSSE envelope in a Sigstore bundle (https://github.com/sigstore/model-transparency).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, ConveyorError
from pipeline.util import files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

FILE_NAME = "model.sig"
"""The file of a signature in the folder of a version."""
UNSIGNED = (FILE_NAME, "model_card.json", "model_card.md")
"""The files that a version may have without a signature: cards are written after the push, and no model server reads them."""

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_IN_TOTO = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_MAX_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_MAKE_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out private.pem"


class UntrustedModelError(ConveyorError):
    """A version has no signature by the key that is trusted, or is not what was signed."""

    headline = "Untrusted model"


def private_key(variable: str) -> EllipticCurvePrivateKey:
    """The key that signs, from the environment, where neither a volume nor a configuration has it.

    Args:
      variable: the name of the environment variable with the key in PEM.

    Raises:
      ConfigError: the variable is not set, or is not such a key.
    """
    from cryptography.hazmat.primitives import serialization

    text = os.environ.get(variable, "")
    if not text:
        raise ConfigError(
            "There is no key to sign models with.",
            where="push.signing_key_variable",
            expected=f"a private key in PEM in the environment variable {variable}",
            seen="the variable is not set or is empty",
            fix=f'Set it: export {variable}="$(cat private.pem)". A new key: {_MAKE_KEY}',
        )
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
        _require_curve(key)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            "The key to sign models with cannot be used.",
            where=f"the environment variable {variable}",
            expected=f"an elliptic private key in PEM, without a password, on one of the curves {', '.join(_CURVES)}",
            seen=_told(error),
            fix=f"A new key: {_MAKE_KEY}",
        ) from error
    return key  # type: ignore[return-value]


def public_key(path: Path) -> EllipticCurvePublicKey:
    """The key by which signatures are verified.

    Args:
      path: its file, in PEM.

    Raises:
      ConfigError: there is no such key.
    """
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_public_key(path.read_bytes())
        _require_curve(key)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            "The key to verify models with cannot be used.",
            where=str(path),
            expected=f"an elliptic public key in PEM, on one of the curves {', '.join(_CURVES)}",
            seen=_told(error),
            fix="Write it from the private key: openssl ec -in private.pem -pubout -out public.pem",
        ) from error
    return key  # type: ignore[return-value]


def sign(version: Path, name: str, key: EllipticCurvePrivateKey) -> None:
    """Signs the files of a version as they are now.

    Args:
      version: the version's folder, into which the signature is written.
      name: the model's name, which `verify` compares.
      key: the key that signs.

    Raises:
      OSError: a file cannot be read, or the signature cannot be written.
      UntrustedModelError: something in the folder is neither a file nor a folder.
    """
    digests = {file: _sha256(version / file) for file in _names(version) if file not in UNSIGNED}
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _root(digests)}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(UNSIGNED),
            },
            "resources": [{"name": file, "algorithm": "sha256", "digest": digest} for file, digest in digests.items()],
        },
    }
    payload = json.dumps(statement, indent=1).encode()
    signature = key.sign(_authenticated(payload), _algorithm(key))
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": fingerprint(key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _IN_TOTO,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    files.write(version / FILE_NAME, json.dumps(bundle), files.READABLE)


def verify(version: Path, name: str, key: EllipticCurvePublicKey) -> int:
    """Makes sure that a version is signed, and that its files are those that were signed.

    Args:
      version: the version's folder.
      name: the name of the model that it is served as.
      key: the key that is trusted.

    Returns:
      How many files were compared.

    Raises:
      UntrustedModelError: it is not; the error names the file.
    """
    try:
        signed = _signed(version, name, key)
        present = _names(version)
        for file in sorted({*signed, *(file for file in present if file not in UNSIGNED)}):
            path, expected = version / file, f"the SHA-256 {signed.get(file)}, which was signed"
            if file not in signed:
                raise _untrusted("A file was added to the model after it was signed.", path, "no such file", "a file")
            if file not in present:
                raise _untrusted("A file of the model is missing.", path, expected, "no such file")
            digest = _sha256(path)
            if digest != signed[file]:
                raise _untrusted("A file of the model is not the one that was signed.", path, expected, f"the SHA-256 {digest}")
    except OSError as error:
        raise _untrusted("The model cannot be read.", Path(error.filename or version), "a file", _told(error)) from error
    return len(signed)


def fingerprint(key: EllipticCurvePublicKey) -> str:
    """The SHA-256 of a public key in PEM, which a signature names, as 64 hexadecimal digits."""
    from cryptography.hazmat.primitives import serialization

    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _signed(version: Path, name: str, key: EllipticCurvePublicKey) -> dict[str, str]:
    """The SHA-256 of each file that was signed, once it is certain that the key has signed them, under this name."""
    from cryptography.exceptions import InvalidSignature

    path, ours = version / FILE_NAME, fingerprint(key)
    expected = f"a signature by the key {ours}"
    if not path.is_file():
        raise _untrusted("The model is not signed.", path, expected, "no such file")
    try:
        content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
        bundle = json.loads(content)
        theirs = bundle["verificationMaterial"]["publicKey"]["hint"]
        envelope = bundle["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        if theirs != ours:
            raise _untrusted("The model is signed by another key.", path, expected, f"one by the key {theirs}")
        key.verify(signature, _authenticated(payload), _algorithm(key))
        statement = json.loads(payload)
        subject, predicate = statement["subject"][0], statement["predicate"]
        digests = {str(each["name"]): str(each["digest"]) for each in predicate["resources"]}
        kinds = (
            envelope["payloadType"],
            statement["_type"],
            statement["predicateType"],
            predicate["serialization"]["hash_type"],
        )
        if kinds != (_IN_TOTO, _STATEMENT, _PREDICATE, "sha256") or subject["digest"]["sha256"] != _root(digests):
            raise ValueError("the statement is not one of Model Signing 1.0, by files and SHA-256")
    except InvalidSignature as error:
        raise _untrusted(
            "The signature of the model is wrong.", path, expected, "one that was changed, or is another's"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _untrusted("The signature of the model cannot be read.", path, expected, _told(error)) from error
    if subject.get("name") != name:
        raise _untrusted("The signature is of another model.", path, f"the name {name}", f"the name {subject.get('name')}")
    return digests


def _untrusted(what: str, where: Path, expected: str, seen: str) -> UntrustedModelError:
    return UntrustedModelError(
        what,
        where=str(where),
        expected=expected,
        seen=seen,
        fix="Push again: conveyor run. If you know that these files are right: conveyor models sign VERSION",
    )


def _names(version: Path) -> list[str]:
    """The files of a version, by their paths in the folder, with slashes, in order."""
    names = []
    for path in sorted(version.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            names.append(path.relative_to(version).as_posix())
        # What a link leads to can be exchanged without a trace here.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _untrusted("A model is made of files alone.", path, "a file or a folder", "a link or a device")
    return sorted(names)


def _root(digests: dict[str, str]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests.values())).hexdigest()


def _authenticated(payload: bytes) -> bytes:
    """What DSSE signs (https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md)."""
    return b"DSSEv1 %d %s %d %s" % (len(_IN_TOTO), _IN_TOTO.encode(), len(payload), payload)


def _algorithm(key: EllipticCurvePrivateKey | EllipticCurvePublicKey) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, _CURVES[key.curve.name])())


def _require_curve(key: object) -> None:
    curve = getattr(key, "curve", None)
    if getattr(curve, "name", None) not in _CURVES:
        raise ValueError(f"a key of the kind {type(key).__name__}" + (f" on {curve.name}" if curve is not None else ""))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
