"""The choice between a fast implementation and TFX's own executor."""

from __future__ import annotations

from typing import Any

import pytest
from tfx.dsl.components.base import base_executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

from components.shared.fast_executor import FORCE_KEY, FastExecutor, UnsupportedError
from pipeline.errors import DataError, NodeError


class Stock(base_executor.BaseExecutor):
    """Stands for TFX's own executor."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any]) -> None:
        output_dict["by"] = "stock"


class Doubling(FastExecutor):
    """Supports numbers alone, and refuses negative ones."""

    NODE = "Doubler"
    STOCK = Stock

    def run_fast(self, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any]) -> None:
        if not isinstance(input_dict["n"], int):
            raise UnsupportedError("n is text")
        if input_dict["n"] < 0:
            raise DataError("n is negative.")
        output_dict["by"] = "fast"


def run(n: object, arguments: tuple[str, ...] = (), **properties: str) -> str:
    output: dict[str, Any] = {}
    Doubling(BaseBeamExecutor.Context(beam_pipeline_args=[*arguments])).Do({"n": n}, output, properties)
    return str(output["by"])


@pytest.mark.parametrize("properties", [{}, {FORCE_KEY: "auto"}, {FORCE_KEY: "fast"}])
def test_the_fast_implementation_runs_where_it_applies(properties: dict[str, str]) -> None:
    assert run(1, **properties) == "fast"


def test_tfx_runs_the_rest_and_the_log_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("absl.logging.warning", lambda text, *values: warnings.append(text % values))

    assert run("one") == "stock"
    assert warnings == ["TFX's own Doubler is used, which is slower: n is text."]


def test_tfx_runs_all_where_that_is_asked_for() -> None:
    assert run(1, **{FORCE_KEY: "stock"}) == "stock"


def test_tfx_runs_what_beam_spreads_over_machines() -> None:
    assert run(1, ("--runner=DataflowRunner",)) == "stock"


def test_where_only_the_fast_implementation_is_allowed_the_reason_is_an_error() -> None:
    with pytest.raises(NodeError, match="The fast Doubler does not apply") as caught:
        run("one", **{FORCE_KEY: "fast"})
    assert caught.value.seen == "n is text"


def test_errors_of_the_data_are_not_left_to_tfx() -> None:
    with pytest.raises(DataError):
        run(-1)
