"""Whatever is wrong with the input: one screen that says what, where and how to mend it, and the pushed model stays."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.status import NodeState
from tests.integration.conftest import CONFIG, CONVEYOR, ENVIRONMENT, OVERRIDES, Project

NEWEST = 201304
Break = Callable[[Path, pa.Table], None]


@pytest.fixture(scope="module")
def served(project: Project) -> Project:
    """A project whose first version is pushed."""
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def parquet(change: Callable[[pa.Table], pa.Table]) -> Break:
    return lambda folder, table: pq.write_table(change(table), folder / "flights.parquet")


def csv(change: Callable[[bytes], bytes]) -> Break:
    def write(folder: Path, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(table, sink)
        (folder / "flights.csv").write_bytes(change(sink.getvalue().to_pybytes()))

    return write


def raw(name: str, content: Callable[[bytes], bytes]) -> Break:
    def write(folder: Path, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        (folder / name).write_bytes(content(sink.getvalue().to_pybytes()))

    return write


def rename(table: pa.Table) -> pa.Table:
    return table.rename_columns(["airline" if name == "carrier" else name for name in table.column_names])


def replace(name: str, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        column = pa.array(np.full(table.num_rows, value, dtype=object).tolist())
        return table.set_column(table.column_names.index(name), name, column)

    return change


def after_line(number: int, extra: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        lines = content.split(b"\n")
        return b"\n".join([*lines[:number], extra, *lines[number:]])

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(parquet(lambda table: table.drop_columns(["carrier"])), ["carrier"], id="missing column"),
        pytest.param(parquet(rename), ["carrier"], id="renamed column"),
        pytest.param(parquet(replace("distance", "far")), ["distance"], id="changed type"),
        pytest.param(parquet(replace("origin", "LAX")), ["origin", "LAX"], id="schema anomaly"),
        pytest.param(parquet(lambda table: table.slice(0, 0)), ["flights.parquet"], id="no rows"),
        pytest.param(raw("flights.csv", lambda content: b""), ["flights.csv", "empty"], id="empty file"),
        pytest.param(
            raw("flights.parquet", lambda content: content[: len(content) // 2]), ["flights.parquet"], id="broken Parquet"
        ),
        pytest.param(csv(after_line(3, b"1,2,3")), ["flights.csv", "4"], id="ragged row"),
        pytest.param(csv(lambda content: content.replace(b'"UA"', b'"\xff\xfe"')), ["flights.csv", "UTF-8"], id="not UTF-8"),
    ],
)
def test_broken_data(served: Project, sample: dict[int, pa.Table], tmp_path: Path, damage: Break, words: list[str]) -> None:
    broken = Project(tmp_path)
    folder = broken.data / f"span-{NEWEST}"
    folder.mkdir(parents=True)
    damage(folder, sample[NEWEST])
    for span in list(sample)[:3]:
        # All files of a table are of one format.
        path = broken.write_span(span, sample[span])
        if (folder / "flights.csv").exists():
            pyarrow.csv.write_csv(sample[span], path.with_suffix(".csv"))
            path.unlink()
    done = served.run(settings=(f"data.input={broken.data}/span-{{SPAN}}/flights.*",))
    expect_refusal(served, done, 3, words)
    failed = next(name for name, state in served.states().items() if state == "failed")
    with open_store(database.sqlite(served.workspace / "metadata.sqlite"), "flights") as store:
        assert store.run(served.last_run()["run_id"]).executions[failed].state is NodeState.FAILED


@pytest.mark.parametrize(
    ("label", "words"),
    [
        pytest.param(lambda table: table.drop_columns(["late"]), ["late"], id="missing label"),
        pytest.param(replace("late", 0), ["late", "value"], id="label with one value"),
    ],
)
def test_a_label_that_teaches_nothing(
    served: Project, sample: dict[int, pa.Table], tmp_path: Path, label: Callable[[pa.Table], pa.Table], words: list[str]
) -> None:
    broken = Project(tmp_path)
    for span in list(sample)[:4]:
        broken.write_span(span, label(sample[span]))
    done = served.run(settings=(f"data.input={broken.data}/span-{{SPAN}}/flights.*",))
    expect_refusal(served, done, 3, words)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param("data.newest_span=201212", ["201212", "201301"], id="span that does not exist"),
        pytest.param("data.input=nowhere/span-{SPAN}/*.csv", ["nowhere"], id="no file"),
        pytest.param("training.epoch=3", ["epoch", "epochs"], id="unknown key"),
        pytest.param("schema.path=schema.pb", ["schema.pb"], id="schema that is not there"),
        pytest.param("preprocessing.preprocessing_fn=mine.py:prepare", ["mine.py"], id="code that is not there"),
    ],
)
def test_a_configuration_that_cannot_be_carried_out(served: Project, setting: str, words: list[str]) -> None:
    expect_refusal(served, served.run(settings=(setting,)), 2, words)


def test_an_unreadable_configuration(served: Project, tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text("name: flights\ndata: [\n")
    line = [str(CONVEYOR), "run", str(config)]
    done = subprocess.run(line, cwd=served.folder, capture_output=True, text=True, env=ENVIRONMENT)
    expect_refusal(served, done, 2, ["pipeline.yaml", "line"])


def test_a_full_disk(served: Project, tmp_path: Path) -> None:
    """The workspace is a file system of 4 MB, in a mount namespace of its own."""
    workspace = tmp_path / "small"
    workspace.mkdir()
    options = (
        *OVERRIDES,
        f"data.input={served.data}/span-{{SPAN}}/flights.*",
        f"workspace={workspace}",
        "data.compression=none",
    )
    run = " ".join([str(CONVEYOR), "run", str(CONFIG), *(f"--set '{option}'" for option in options)])
    script = f"mount -t tmpfs -o size=4m tmpfs {workspace} && {run}"
    line = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    if subprocess.run([*line[:4], "mount", "-t", "tmpfs", "tmpfs", str(workspace)], capture_output=True).returncode != 0:
        pytest.skip("this system does not let a user mount a file system in a namespace of its own")
    done = subprocess.run(line, cwd=served.folder, capture_output=True, text=True, env=ENVIRONMENT)
    expect_refusal(served, done, 1, ["disk is full"])


def expect_refusal(project: Project, done: subprocess.CompletedProcess[str], exit_code: int, words: list[str]) -> None:
    """One screen without a traceback, with these words and a way to mend it; the pushed model untouched."""
    assert done.returncode == exit_code, done.stdout + done.stderr
    for word in words:
        assert word.lower() in done.stderr.lower(), done.stderr
    assert "fix" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 40
    assert project.versions == ["1"]
    assert (project.workspace / "models" / "flights" / "1" / "saved_model.pb").is_file()
