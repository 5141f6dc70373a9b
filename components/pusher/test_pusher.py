from __future__ import annotations

import os
import resource
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tfx.types import Artifact, Channel, standard_artifacts

from components.pusher.component import AtomicPusher, Executor
from components.pusher.push_record import FILE_NAME, PushRecord
from components.pusher.serving_folder import add_version, push_is_in_place
from pipeline.contracts import signature
from pipeline.contracts.serving_folder import versions
from pipeline.errors import ConfigError, StorageError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder in the shape of a SavedModel, below a Model artifact's own."""
    folder = tmp_path / "model" / "Format-Serving"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"weights" * 10_000)
    return folder


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limits the size of files, in bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".push.lock"))


def test_versions_count_up_and_hold_the_whole_model(model: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    assert [add_version(str(model), served) for _ in range(3)] == [1, 2, 3]
    assert contents(served / "3") == contents(model)
    assert visible(served) == ["1", "2", "3"]


def test_the_next_version_follows_the_largest_whatever_else_is_there(model: Path, tmp_path: Path) -> None:
    for name in ("9", "10", "notes", "11.old", "²"):
        (tmp_path / "served" / name).mkdir(parents=True)
    assert add_version(str(model), tmp_path / "served") == 11
    assert versions(tmp_path / "served") == [9, 10, 11]


def test_a_model_server_of_another_user_can_read_the_version(model: Path, tmp_path: Path) -> None:
    add_version(str(model), tmp_path / "served")
    assert (tmp_path / "served" / "1").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("machine", "hours", "is_left"),
    [(socket.gethostname(), 0, False), (f"{socket.gethostname()}-2", 1, True), ("another", 25, False)],
)
def test_what_a_killed_push_left_is_removed_unless_another_machine_may_be_at_it(
    model: Path, tmp_path: Path, machine: str, hours: int, is_left: bool
) -> None:
    leftover = tmp_path / "served" / f".unfinished-{machine}@killed"
    leftover.mkdir(parents=True)
    (leftover / "saved_model.pb").write_bytes(b"half")
    os.utime(leftover, (time.time() - 3600 * hours,) * 2)
    add_version(str(model), tmp_path / "served")
    assert visible(tmp_path / "served") == ([leftover.name] if is_left else []) + ["1"]


def test_a_full_disk_leaves_the_earlier_version_and_nothing_else(model: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    add_version(str(model), served)
    before = contents(served / "1")
    with largest_file(1000), pytest.raises(StorageError) as caught:
        add_version(str(model), served)
    assert caught.value.where == str(served)
    assert visible(served) == ["1"]
    assert contents(served / "1") == before


def test_a_file_in_the_way_is_a_storage_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "served").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="could not be pushed"):
        add_version(str(model), tmp_path / "served")


def test_pushes_side_by_side_each_get_a_version_of_their_own(model: Path, tmp_path: Path) -> None:
    pushed: list[int] = []
    threads = [threading.Thread(target=lambda: pushed.append(add_version(str(model), tmp_path / "served"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pushed) == list(range(1, 9))
    assert all(contents(tmp_path / "served" / str(version)) == contents(model) for version in pushed)


def blessing_of(kind: type[Artifact], blessed: bool) -> list[Artifact]:
    artifact = kind()
    artifact.set_int_custom_property("blessed", int(blessed))
    return [artifact]


def execute(model: Path, served: Path, model_blessed: bool, infra_blessed: bool, **settings: str) -> Artifact:
    candidate, pushed = standard_artifacts.Model(), standard_artifacts.PushedModel()
    candidate.uri, pushed.uri = str(model.parent), str(served.parent / "pushed_model")
    Executor().Do(
        {
            "model": [candidate],
            "model_blessing": blessing_of(standard_artifacts.ModelBlessing, model_blessed),
            "infra_blessing": blessing_of(standard_artifacts.InfraBlessing, infra_blessed),
        },
        {"pushed_model": [pushed]},
        AtomicPusher(Channel(standard_artifacts.Model), destination=str(served), **settings).exec_properties,
    )
    return pushed


def test_a_blessed_model_is_pushed_and_recorded(model: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    pushed = execute(model, served, model_blessed=True, infra_blessed=True)
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == "1"
    assert pushed.get_string_custom_property("pushed_destination") == str(served / "1")
    assert contents(Path(pushed.uri)) == contents(model)


@pytest.mark.parametrize(("model_blessed", "infra_blessed"), [(False, True), (True, False)])
def test_a_model_that_a_validator_refused_is_not_pushed(
    model: Path, tmp_path: Path, model_blessed: bool, infra_blessed: bool
) -> None:
    pushed = execute(model, tmp_path / "served", model_blessed, infra_blessed)
    assert pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "served").exists()
    assert push_is_in_place(pushed.mlmd_artifact)


def test_a_push_is_in_place_until_its_version_is_deleted(model: Path, tmp_path: Path) -> None:
    pushed = execute(model, tmp_path / "served", model_blessed=True, infra_blessed=True)
    assert push_is_in_place(pushed.mlmd_artifact)
    (tmp_path / "served" / "1" / "saved_model.pb").unlink()
    assert not push_is_in_place(pushed.mlmd_artifact)


def test_a_push_is_not_in_place_where_another_has_its_number(model: Path, tmp_path: Path) -> None:
    pushed = execute(model, tmp_path / "served", model_blessed=True, infra_blessed=True)
    shutil.rmtree(tmp_path / "served" / "1")
    assert add_version(str(model), tmp_path / "served", PushRecord("tables", "later", 9, {"uri": "/elsewhere"})) == 1
    assert not push_is_in_place(pushed.mlmd_artifact)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> ec.EllipticCurvePrivateKey:
    """A key that the environment has."""
    made = ec.generate_private_key(ec.SECP256R1())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    monkeypatch.setenv("MODEL_SIGNING_KEY", made.private_bytes(*form).decode())
    return made


def test_a_version_is_signed_where_that_is_wanted(model: Path, tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    execute(model, tmp_path / "served", True, True, name="tables", signing_key_variable="MODEL_SIGNING_KEY")
    assert signature.verify(tmp_path / "served" / "1", "tables", key.public_key()) == 2


def test_without_the_key_nothing_is_pushed(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no key to sign models with"):
        execute(model, tmp_path / "served", True, True, name="tables", signing_key_variable="MODEL_SIGNING_KEY")
    assert versions(tmp_path / "served") == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "pipeline": 1, "run": "", "execution": "x", "artifact": []}']
)
def test_a_damaged_record_of_a_push_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert PushRecord.load(tmp_path) is None


def test_a_record_of_a_push_with_another_digit_is_none(tmp_path: Path) -> None:
    record = PushRecord("tables", "20260101-1", 12, {"uri": "/artifacts/12"})
    record.save(tmp_path)
    assert PushRecord.load(tmp_path) == record
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text().replace('"execution": 12', '"execution": 13'))
    assert PushRecord.load(tmp_path) is None


def test_a_url_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="URL") as caught:
        AtomicPusher(Channel(standard_artifacts.Model), destination="gs://bucket/models")
    assert caught.value.seen == "gs://bucket/models"
