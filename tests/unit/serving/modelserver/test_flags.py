"""The flags of tensorflow_model_server."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from pipeline.errors import ConfigError
from pipeline.util import checkout
from serving.modelserver.flags import CORES, Flags, parse_flags

PAGE = checkout.ROOT / "docs" / "serving.md"


def test_the_defaults_are_those_of_tensorflow_serving() -> None:
    flags = parse_flags([])

    assert (flags.port, flags.rest_api_port, flags.model_name) == (8500, 0, "default")
    assert (flags.file_system_poll_wait_seconds, flags.max_num_load_retries, flags.load_retry_interval_micros) == (
        1,
        5,
        60_000_000,
    )
    assert flags.grpc_max_threads == 4 * CORES
    assert flags.ignored == ()


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (["--enable_batching"], True),
        (["--enable_batching=true"], True),
        (["--enable_batching=False"], False),
        (["--enable_batching=0"], False),
        (["--enable_batching", "true"], True),
        ([], False),
    ],
)
def test_switches(given: list[str], seen: bool) -> None:
    assert parse_flags(given).enable_batching is seen


def test_values_with_and_without_an_equals_sign() -> None:
    flags = parse_flags(["--port=9000", "--model_name", "flights", "--model_base_path=/models/with=sign"])

    assert (flags.port, flags.model_name, flags.model_base_path) == (9000, "flights", "/models/with=sign")


def test_flags_without_a_meaning_are_accepted_and_remembered() -> None:
    flags = parse_flags(["--flush_filesystem_caches=false", "--enable_profiler", "--per_process_gpu_memory_fraction=0.5"])

    assert flags.ignored == ("enable_profiler", "flush_filesystem_caches", "per_process_gpu_memory_fraction")


@pytest.mark.parametrize("flag", ["--prot=1", "--port=many", "--enable_batching=maybe", "--model_nam=x", "stray"])
def test_what_is_no_flag_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_flags([flag])

    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_flags(["--version"])

    assert ended.value.code == 0
    assert re.match(r"Conveyor ModelServer: \d+\.\d+.*, TensorFlow Library: 2\.", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--model_base_path="], "No model is given."),
        (["--port=0"], "neither a port nor a socket"),
        (["--port=9000", "--rest_api_port=9000"], "Both interfaces have the same port."),
        (["--batching_parameters_file=/y"], "batching is off"),
        (["--use_alts_credentials"], "ALTS credentials are not supported"),
        (
            [f"--tensorflow_{kind}_parallelism=1" for kind in ("session", "inter_op", "intra_op")],
            "The threads of a session are given twice.",
        ),
    ],
)
def test_flags_that_do_not_hold_together(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_flags(["--model_base_path=/x", *given]).check()


def test_the_page_tells_of_every_flag_and_its_default() -> None:
    supported, _, rest = PAGE.read_text().partition("| supported |")[2].partition("Accepted with a warning")
    rows = dict(re.findall(r"^\| `--(\w+)` \| (.*?) \|", supported, re.MULTILINE))
    own = {field.name: field.default for field in fields(Flags) if field.name not in ("ignored", "use_alts_credentials")}
    ignored = parse_flags([f"--{name}" for name in re.findall(r"`--(\w+)`", rest.partition(".\n")[0])]).ignored

    assert rows.keys() == own.keys()
    for name, shown in rows.items():
        default = own[name]
        if name.endswith("threads") and default == 4 * CORES:
            assert shown == "4 a core"
        else:
            assert shown == ("" if default == "" else f"`{str(default).lower() if isinstance(default, bool) else default}`")
    assert len(ignored) == 13
