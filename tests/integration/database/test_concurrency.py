"""Many processes in one database at once."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler.compiler import Compiler

from pipeline.runs import database as databases
from pipeline.runs.metadata import open_store
from pipeline.runs.status import NodeState
from tests.integration.database import nodes
from tests.integration.database.conftest import PROCESSES
from tests.integration.database.servers import PostgreSQL, Server
from tests.integration.local_runner import tiny_pipeline


def soon() -> float:
    return time.time() + 0.5


def test_those_that_find_an_empty_database_at_once_all_get_in(processes: ProcessPoolExecutor, url: str) -> None:
    start = soon()
    connections = [processes.submit(nodes.connect, url, start) for _ in range(PROCESSES)]
    assert [connection.result(60) for connection in connections] == [0] * PROCESSES


def test_runs_side_by_side_lose_nothing(processes: ProcessPoolExecutor, url: str, tmp_path: Path) -> None:
    pipeline = tiny_pipeline.create(str(tmp_path))
    # From the cache there would be little to write.
    pipeline.enable_cache = False
    ir = Compiler().compile(pipeline).SerializeToString()
    start = soon()
    runs = {f"run-{number}": processes.submit(nodes.run, ir, url, f"run-{number}", start=start) for number in range(PROCESSES)}
    assert {name: run.result(120) for name, run in runs.items()} == dict.fromkeys(runs, ["complete"] * 4)
    with open_store(databases.parse(url), "tiny") as store:
        assert set(store.run_starts()) == set(runs)
        found = [store.run(name).executions for name in runs]
    assert all(set(executions) == set(nodes.NODES) for executions in found)
    everything = [execution for executions in found for execution in executions.values()]
    assert {execution.state for execution in everything} == {NodeState.COMPLETE}
    artifacts = {artifact.id for execution in everything for made in execution.outputs.values() for artifact in made}
    assert len({execution.id for execution in everything}) == len(artifacts) == 4 * PROCESSES


# After a deadlock in MySQL, ML Metadata itself tries again.
@pytest.mark.parametrize("server", [PostgreSQL], indirect=True, scope="session", ids=["PostgreSQL"])
def test_the_loser_of_a_deadlock_tries_again(processes: ProcessPoolExecutor, server: Server, database: str, url: str) -> None:
    from pg8000 import native

    store = databases.connect(databases.parse(url))
    type_id = store.put_artifact_type(mlmd.ArtifactType(name="Thing"))
    first, second = store.put_artifacts([mlmd.Artifact(type_id=type_id), mlmd.Artifact(type_id=type_id)])
    changed = [mlmd.Artifact(id=number, type_id=type_id, uri="new") for number in (first, second)]
    rival = native.Connection(
        "postgres", unix_sock=f"{server.folder}/.s.PGSQL.{server.port}", database=database, application_name="rival"
    )
    try:
        rival.run("BEGIN")
        # The rival notices the deadlock after the writer, which loses.
        rival.run("SET LOCAL deadlock_timeout = '1min'")
        rival.run(f"UPDATE Artifact SET uri = 'old' WHERE id = {second}")
        writer = processes.submit(nodes.rewrite, url, changed)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        deadline = time.monotonic() + 60
        while not server.execute(waiting)[0][0]:
            assert time.monotonic() < deadline, "the writer does not wait for the rival"
            time.sleep(0.05)
        rival.run(f"UPDATE Artifact SET uri = 'old' WHERE id = {first}")
        rival.run("COMMIT")
    finally:
        rival.close()
    writer.result(60)
    assert [artifact.uri for artifact in store.get_artifacts_by_id([first, second])] == ["new", "new"]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    deadline = time.monotonic() + 60
    while not server.execute(deadlocks, database)[0][0]:
        assert time.monotonic() < deadline, "there was no deadlock"
        time.sleep(0.2)
