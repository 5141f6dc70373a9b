"""The files on this machine: written whole, under a lock, and read by others."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import StorageError
from serving.rollout import RolloutState, files, prepare


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {"name": "flights", "label": "late", "data": {"input": "x.csv"}, "workspace": str(tmp_path)}
    )


def test_before_the_first_rollout_a_server_is_told_to_serve_the_newest(config: PipelineConfig):
    text = prepare(config).read_text()
    assert "latest" in text
    assert f'base_path: "{config.serving_path}"' in text
    assert "version_labels" not in text
    assert files.read_state(config) == RolloutState()


def test_a_server_that_starts_later_is_told_what_the_state_says(config: PipelineConfig):
    files.write_state(config, RolloutState(stable=2, canary=3, traffic=5))
    text = prepare(config).read_text()
    assert "versions: 2" in text
    assert "versions: 3" in text
    assert "canary" in text


def test_a_server_that_starts_while_a_command_waits_for_it_takes_what_is_there(config: PipelineConfig):
    path = prepare(config)
    with files.locked(config):
        files.write_state(config, RolloutState(stable=2))
        path.write_text("of the command")
        assert prepare(config).read_text() == "of the command"
    assert "versions: 2" in prepare(config).read_text()


def test_a_server_does_not_start_with_what_an_older_state_said(config: PipelineConfig):
    files.write_state(config, RolloutState(stable=2))
    prepare(config)
    files.state_path(config).write_text('{"stable": "two"}')
    with pytest.raises(StorageError, match="cannot be read"):
        prepare(config)


def test_two_commands_at_once(config: PipelineConfig):
    with files.locked(config), pytest.raises(StorageError, match="Another command"), files.locked(config, seconds=0.1):
        pass


def test_other_users_may_read(config: PipelineConfig):
    assert stat.S_IMODE(prepare(config).stat().st_mode) == 0o644


def test_an_equal_configuration_is_not_written_again(config: PipelineConfig):
    before = prepare(config).stat()
    assert prepare(config).stat().st_mtime_ns == before.st_mtime_ns


def test_a_state_that_cannot_be_read(config: PipelineConfig):
    files.write_state(config, RolloutState(stable=2))
    files.state_path(config).write_text('{"stable": "two"}')
    with pytest.raises(StorageError, match="cannot be read") as caught:
        files.read_state(config)
    assert caught.value.where == str(files.state_path(config))


def test_a_digit_that_has_changed_is_not_believed(config: PipelineConfig):
    files.write_state(config, RolloutState(stable=2, canary=3, traffic=5))
    path = files.state_path(config)
    path.write_text(path.read_text().replace('"traffic": 5', '"traffic": 7'))
    with pytest.raises(StorageError, match="cannot be read") as caught:
        files.read_state(config)
    assert "the checksum of the content is" in caught.value.seen

    # What the remedy says for a change by hand.
    assert "take out its last field, checksum, with the comma before it" in caught.value.fix
    path.write_text(path.read_text()[: path.read_text().rindex(",")] + "}")
    assert files.read_state(config).traffic == 7


def test_no_flipped_bit_makes_another_state(config: PipelineConfig):
    state = RolloutState().start(3, 5, [2, 3], who="ada@laptop", reason="to see")
    kept = state.to_json().encode()
    for position in range(len(kept)):
        for bit in range(8):
            flipped = bytearray(kept)
            flipped[position] ^= 1 << bit
            with suppress(ValueError):
                assert RolloutState.from_json(bytes(flipped)) == state


@pytest.mark.parametrize("text", ['{"stable": 2}', '{"stable": 2}\n', '{\n  "stable": 2\n}'])
def test_what_is_written_by_hand_needs_no_checksum(config: PipelineConfig, text: str):
    files.write_state(config, RolloutState(stable=1))
    files.state_path(config).write_text(text)
    assert files.read_state(config) == RolloutState(stable=2)


def test_the_empty_state_is_read_as_it_was_written(config: PipelineConfig):
    files.write_state(config, RolloutState())
    assert files.read_state(config) == RolloutState()


def test_a_write_that_fails_leaves_what_was_there(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch):
    files.write_state(config, RolloutState(stable=2))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.util.files.os.fsync", full)
    with pytest.raises(StorageError, match="cannot be written") as caught:
        files.write_state(config, RolloutState(stable=3))
    assert caught.value.seen == "No space left on device"
    assert files.read_state(config).stable == 2
    assert [path.name for path in files.folder(config).iterdir()] == ["rollout.json"]
