"""Which models and versions are served."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from pipeline.errors import ConfigError
from serving.modelserver.flags import Flags
from serving.modelserver.models.config import ModelServerConfig, check_config, local_path, read_config
from serving.modelserver.models.source import Policy, stamp, wanted_versions
from serving.modelserver.status import StatusError


def config(text: str) -> ModelServerConfig:
    return text_format.Parse(text, ModelServerConfig())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Versions 1, 2 and 10, and what is none."""
    for name in ("1", "2", "10", ".partial-11", "12", "٣", "-4", "latest", "9" * 19, "9" * 200):
        (tmp_path / name).mkdir()
        if name != "12":
            (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "13").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", {10}),
        ("latest {}", {10}),
        ("latest { num_versions: 2 }", {2, 10}),
        ("latest { num_versions: 9 }", {1, 2, 10}),
        ("all {}", {1, 2, 10}),
        ("specific { versions: 2 versions: 12 versions: 99 }", {2}),
    ],
)
def test_versions_by_policy(base: Path, policy: str, versions: set[int]) -> None:
    wanted = wanted_versions("m", base, text_format.Parse(policy, Policy()))

    assert wanted == {version: base / str(version) for version in versions}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match=r"Could not find base path .* for servable m with error No such file"):
        wanted_versions("m", tmp_path / "x", Policy())


def test_the_stamp_of_a_folder_changes_with_its_files(base: Path) -> None:
    before = stamp(base / "1")
    assert stamp(base / "1") == before

    (base / "1" / "saved_model.pb").write_bytes(b"x")
    assert stamp(base / "1") != before


def test_the_one_model_of_the_flags() -> None:
    (model,) = read_config(Flags(model_name="m", model_base_path="/models/m")).model_config_list.config

    assert (model.name, model.base_path, model.model_platform) == ("m", "/models/m", "tensorflow")


@pytest.mark.parametrize(("content", "seen"), [("config {", "no field named"), (None, "No such file"), ("\x00\xff", "")])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: str | None, seen: str) -> None:
    file = tmp_path / "models.config"
    if content is not None:
        file.write_text(content, encoding="latin-1")

    with pytest.raises(ConfigError) as failed:
        read_config(Flags(model_config_file=str(file)))

    assert failed.value.where == str(file)
    assert seen in failed.value.seen


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ('base_path: "/m" model_platform: "tensorflow"', "has no name"),
        ('name: "m" base_path: "m" model_platform: "tensorflow"', "an absolute path or URI; got base_path()=m"),
        ('name: "m" base_path: "/m"', "neither ModelServerConfig::model_type"),
        ('name: "m" base_path: "/m" model_platform: "torch"', "unsupported platform torch"),
        ('name: "m" base_path: "file://m" model_platform: "tensorflow"', "an absolute path or URI; got base_path()=file://m"),
        ('name: "m" base_path: "gs://m/m" model_platform: "tensorflow"', "an absolute path or URI; got base_path()=gs://m/m"),
        ('name: "m" base_path: "/m" model_platform: "tensorflow" logging_config {}', "has a logging_config"),
    ],
)
def test_models_that_cannot_be_served(model: str, message: str) -> None:
    with pytest.raises(StatusError) as failed:
        check_config(config(f"model_config_list {{ config {{ {model} }} }}"))

    assert message in failed.value.message


def test_a_model_that_is_listed_twice() -> None:
    entry = 'config { name: "m" base_path: "/m" model_platform: "tensorflow" }'

    with pytest.raises(StatusError, match="Illegal to list model m multiple times in config list"):
        check_config(config(f"model_config_list {{ {entry} {entry} }}"))


def test_the_type_of_a_model_may_stand_for_its_platform() -> None:
    check_config(config('model_config_list { config { name: "m" base_path: "/m" model_type: TENSORFLOW } }'))


def test_a_folder_may_be_named_by_a_uri() -> None:
    check_config(config('model_config_list { config { name: "m" base_path: "file:///m" model_platform: "tensorflow" } }'))

    assert local_path("file:///models/m") == local_path("/models/m") == Path("/models/m")
