from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.integration.database import nodes
from tests.integration.database.servers import MariaDB, PostgreSQL, Server
from tests.integration.local_runner import tiny_pipeline

PROCESSES = 4
_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=[MariaDB, PostgreSQL], ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that runs until the last test is done."""
    kind: type[Server] = request.param
    if kind.program() is None:
        pytest.skip(f"{kind.name} is not installed: sudo apt-get install --no-install-recommends {kind.packages}")
    server = kind()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def database(server: Server) -> str:
    """The name of an empty database."""
    name = f"conveyor{next(_numbers)}"
    server.make_database(name)
    return name


@pytest.fixture
def url(server: Server, database: str) -> str:
    """The URL of an empty database."""
    return server.url(database)


@pytest.fixture(scope="package")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Processes that are ready to run nodes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.local.preload", nodes.__name__, tiny_pipeline.__name__])
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        # The first task waits for the imports; those that follow begin at once.
        list(pool.map(time.sleep, [0.5] * PROCESSES))
        yield pool
