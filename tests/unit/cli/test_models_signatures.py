"""`conveyor models sign` and `conveyor models verify`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.cli import main as command_line
from pipeline.util import checkout

CONFIG = checkout.ROOT / "examples" / "flights" / "pipeline.yaml"
SIGNING = "--set=push.signing_key_variable=MODEL_SIGNING_KEY"
TRUSTING = "--set=push.public_key=public.pem"


@pytest.fixture
def models(capsys, monkeypatch, tmp_path: Path):
    """Runs the command in a folder with version 3 and a pair of keys; returns its exit code and all that it printed."""
    version = tmp_path / ".conveyor" / "models" / "flights" / "3"
    (version / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        (version / name).write_bytes(b"x")
    key, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    # A path is relative to the folder of the configuration.
    trusting = f"--set=push.public_key={tmp_path / 'public.pem'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_SIGNING_KEY", private.decode())

    def _models(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main(
                ["models", *(trusting if each == TRUSTING else each for each in arguments), "--config", str(CONFIG)]
            )
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return _models


def test_what_is_signed_is_verified_until_it_is_changed(models, tmp_path: Path):
    assert "is not signed" in models("verify", "3", TRUSTING)[1]
    assert models("sign", "3", SIGNING)[0] == 0
    code, printed = models("verify", "3", TRUSTING)
    assert (code, "3 files" in printed) == (0, True)

    file = tmp_path / ".conveyor" / "models" / "flights" / "3" / "variables" / "variables.index"
    file.write_bytes(b"y")
    code, printed = models("verify", "3", TRUSTING)
    assert code == 1
    assert "Untrusted model" in printed
    assert str(file) in printed

    assert models("sign", "3", SIGNING)[0] == 0
    assert models("verify", "3", TRUSTING)[0] == 0


@pytest.mark.parametrize("command", ["sign", "verify"])
def test_a_key_must_be_named(models, command: str):
    code, printed = models(command, "3")

    assert code == 2
    assert "--set push." in printed


@pytest.mark.parametrize("command", ["sign", "verify"])
def test_a_version_that_is_not_there(models, command: str):
    code, printed = models(command, "4", SIGNING, TRUSTING)

    assert code == 2
    assert "There is no version 4 of flights." in printed
    assert "one of 3" in printed
