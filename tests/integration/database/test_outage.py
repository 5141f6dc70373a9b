"""A database that goes away while nodes run, and comes back."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from tfx.dsl.compiler.compiler import Compiler

from pipeline.runs import connections, database
from pipeline.runs.database import DatabaseDownError
from pipeline.runs.metadata import open_store
from pipeline.runs.status import NodeState
from tests.integration.database import nodes
from tests.integration.database.servers import PASSWORD, Server
from tests.integration.local_runner import tiny_pipeline


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def test_the_node_fails_clearly_and_goes_on_once_the_database_is_back(
    processes: ProcessPoolExecutor, server: Server, url: str, tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    ir = Compiler().compile(tiny_pipeline.create(str(tmp_path), left=f"meet:{meeting}")).SerializeToString()
    assert processes.submit(nodes.run, ir, url, "run-1", ("Source",)).result(120) == ["complete"]

    first_attempt = processes.submit(nodes.run, ir, url, "run-1", ("Left",))
    wait_for(meeting / "Left")
    server.stop()
    try:
        (meeting / "Right").touch()
        with pytest.raises(DatabaseDownError, match="cannot be reached") as caught:
            first_attempt.result(60)
    finally:
        server.start()
    assert f"127.0.0.1:{server.port}" in caught.value.where
    assert "kubectl" in caught.value.fix
    assert PASSWORD not in str(caught.value)

    assert processes.submit(nodes.run, ir, url, "run-1", ("Left", "Right", "Join")).result(120) == ["complete"] * 3
    with open_store(database.parse(url), "tiny") as store:
        assert [execution.state for execution in store.run("run-1").executions.values()] == [NodeState.COMPLETE] * 4
    # An attempt that was cut off and its repetition are one execution.
    assert len(database.connect(database.parse(url)).get_executions()) == 4


def test_a_connection_that_breaks_says_so(server: Server, url: str) -> None:
    def break_connection() -> None:
        with connections.open_metadata(database.parse(url)) as handle:
            assert handle.store.get_artifacts() == []
            server.stop()
            handle.store.get_artifacts()

    try:
        with pytest.raises(DatabaseDownError, match="cannot be reached"):
            break_connection()
    finally:
        server.start()
