from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.integration.database.servers import MariaDB, PostgreSQL, Server

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
