"""The user's own functions, as text."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.training.settings import TransformSettings
from pipeline.training.user_code import UserFunction

SOURCE = """
import math

def area(radius):
    return math.pi * radius ** 2
"""

SOURCE_THAT_FAILS = "1 / 0\ndef f(): ..."


def _write(folder: Path, source: str) -> Path:
    path = folder / "shapes.py"
    path.write_text(source)
    return path


def test_a_function_survives_its_file(tmp_path: Path) -> None:
    path = _write(tmp_path, SOURCE)
    own = UserFunction.read("model.build_model", f"{path}:area")
    custom_config = json.dumps(TransformSettings(label="late", preprocessing_fn=own).to_custom_config())
    path.unlink()
    function = TransformSettings.model_validate_json(custom_config).preprocessing_fn
    assert function is not None
    assert function.load()(1) == pytest.approx(3.14159, abs=1e-5)


def test_a_traceback_shows_the_line(tmp_path: Path) -> None:
    function = UserFunction.read("model.build_model", f"{_write(tmp_path, SOURCE)}:area").load()
    with pytest.raises(TypeError) as error:
        function("one")
    assert "return math.pi * radius ** 2" in "".join(traceback.format_tb(error.value.__traceback__))


def test_nothing_is_run_when_it_is_read(tmp_path: Path) -> None:
    function = UserFunction.read("model.build_model", f"{_write(tmp_path, SOURCE_THAT_FAILS)}:f")
    with pytest.raises(ConfigError, match="fails while it is loaded") as error:
        function.load()
    assert error.value.seen == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("source", "what", "seen"),
    [
        (None, "cannot be read", "No such file"),
        ("def area(:", "not valid Python", "invalid syntax"),
        ("def volume(): ...", "has no function 'area'", "functions: volume"),
        ("", "has no function 'area'", "functions: none"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_at_once(tmp_path: Path, source: str | None, what: str, seen: str) -> None:
    path = tmp_path / "shapes.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(ConfigError, match=what) as error:
        UserFunction.read("model.build_model", f"{path}:area")
    assert error.value.where.startswith("model.build_model")
    assert seen in error.value.seen
