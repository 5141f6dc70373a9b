"""Addresses in a configuration, which may not show a password anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.addresses import without_password
from pipeline.config.loading import load_config
from pipeline.errors import ConfigError

PASSWORD = "hunter2"


def refusal(folder: Path, field: str, address: str, *, on_the_line: bool = False) -> str:
    """What is said of an address in a configuration."""
    path = folder / "pipeline.yaml"
    path.write_text("name: x\nlabel: y\ndata: {input: x.csv}\n")
    setting = [f"{field}={address}"]
    if not on_the_line:
        lines = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(field.split(".")))
        path.write_text(f"{path.read_text()}{lines.rstrip()} '{address}'\n")
        setting = []
    with pytest.raises(ConfigError) as refused:
        load_config(path, setting)
    error = refused.value
    return "\n".join((str(error), error.where, error.expected, error.seen, error.fix))


@pytest.mark.parametrize("on_the_line", [False, True])
@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("gateway.cache.redis", f"redis://:{PASSWORD}@redis:6379/0"),
        ("gateway.cache.redis", f"redis://user:{PASSWORD}@redis:6379/0"),
        ("gateway.cache.redis", f"redis://redis:6379/0?password={PASSWORD}"),
        ("gateway.cache.redis", f"http://user:{PASSWORD}@redis:port"),
        ("gateway.upstream.stable", f"grpc://user:{PASSWORD}@server:8500/model"),
        ("gateway.upstream.stable", f"http://user:{PASSWORD}@server:8501"),
        ("gateway.access.oidc", f"https://user:{PASSWORD}@login.example.com"),
        ("kubeflow.host", f"http://user:{PASSWORD}@localhost:8080"),
        ("kubeflow.host", f"user:{PASSWORD}@localhost:8080"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path: Path, field: str, address: str, on_the_line: bool) -> None:
    said = refusal(tmp_path, field, address, on_the_line=on_the_line)

    assert PASSWORD not in said
    assert field in said


def test_the_address_alone_is_what_mends_it(tmp_path: Path) -> None:
    assert "Write: http://localhost:8080/pipelines" in refusal(
        tmp_path, "kubeflow.host", f"http://user:{PASSWORD}@localhost:8080/pipelines"
    )
    assert "CONVEYOR_REDIS_PASSWORD" in refusal(tmp_path, "gateway.cache.redis", f"redis://h?password={PASSWORD}")


@pytest.mark.parametrize("proxy", ["10.0.0.1/8", "proxy.example.com", "300.1.1.1", ""])
def test_a_proxy_is_an_address_or_a_network(tmp_path: Path, proxy: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"name: x\nlabel: y\ndata: {{input: x.csv}}\ngateway: {{access: {{proxies: ['{proxy}']}}}}\n")

    with pytest.raises(ConfigError, match="This is not an address or a network"):
        load_config(path, [])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:secret@redis:6379/0", "redis://…@redis:6379/0"),
        ("a http://b:c@d/e and https://f:g@h", "a http://…@d/e and https://…@h"),
        ("redis://redis/0?password=secret&x=1", "redis://redis/0?password=…&x=1"),
        ("user:secret@host:8080", "…@host:8080"),
        ("somebody@example.com, http://host/path@x", "somebody@example.com, http://host/path@x"),
    ],
)
def test_a_text_without_its_passwords(text: str, shown: str) -> None:
    assert without_password(text) == shown
