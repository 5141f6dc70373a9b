"""Database servers that tests start for themselves: on a free port, with their files in a folder that goes with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from tests.fakes.ports import free_port

USER = "conveyor"
# Every sign with a meaning in URLs or connection strings.
PASSWORD = "it's @/:#?%\\ secret"
_SECONDS_TO_START = 60


class Server:
    """A database server of ours.

    Attributes:
      name: what the server is called.
      packages: where Debian and Ubuntu have it.
    """

    name: ClassVar[str]
    packages: ClassVar[str]
    scheme: ClassVar[str]
    _sudden_end: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conveyor-database-"))
        # PostgreSQL refuses to run as root.
        self._owner = "nobody" if os.getuid() == 0 else None
        if self._owner:
            shutil.chown(self.folder, self._owner)
        self.port = free_port()
        self._call(self._set_up())
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def program(cls) -> Path | None:
        """The server's program; None where it is not installed."""
        raise NotImplementedError

    def url(self, database: str, password: str = PASSWORD) -> str:
        """What CONVEYOR_METADATA would hold."""
        return f"{self.scheme}://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._serve(), user=self._owner, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                self.execute("SELECT 1")
                return
            except Exception:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    print((self.folder / "log").read_text())
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server as a machine that goes down does, without a word to its clients. Its files stay."""
        assert self._process is not None
        self._process.send_signal(self._sudden_end)
        self._process.wait()

    def remove(self) -> None:
        """Stops the server and removes its files."""
        self.stop()
        shutil.rmtree(self.folder)

    def make_database(self, name: str) -> str:
        """Makes an empty database that USER may use; returns its URL."""
        raise NotImplementedError

    def execute(self, statement: str, database: str = "") -> Sequence[Any]:
        """Runs a statement as the server's administrator."""
        raise NotImplementedError

    def _set_up(self) -> list[str]:
        raise NotImplementedError

    def _serve(self) -> list[str]:
        raise NotImplementedError

    def _call(self, command: list[str]) -> None:
        done = subprocess.run(command, user=self._owner, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


class MariaDB(Server):
    """MariaDB, which speaks MySQL's protocol."""

    name = "MariaDB"
    packages = "mariadb-server-core mariadb-client-core"
    scheme = "mysql"

    @classmethod
    def program(cls) -> Path | None:
        """Needs a helper program beside it, which is in another package."""
        found = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
        return Path(found) if found and shutil.which("my_print_defaults") else None

    def make_database(self, name: str) -> str:
        """Makes the user too."""
        self.execute(f"CREATE DATABASE {name}")
        self.execute(f"CREATE USER IF NOT EXISTS {USER} IDENTIFIED BY %s", parameters=(PASSWORD,))
        self.execute(f"GRANT ALL ON {name}.* TO {USER}")
        return self.url(name)

    def execute(self, statement: str, database: str = "", parameters: Sequence[str] | None = None) -> Sequence[Any]:
        """Logs in as root, with %s in the statement for each parameter."""
        import pymysql

        socket_file = str(self.folder / "socket")
        with (
            pymysql.connect(unix_socket=socket_file, user="root", database=database or None, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def _set_up(self) -> list[str]:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        return ["mariadb-install-db", "--no-defaults", *self._folders(), *options]

    def _serve(self) -> list[str]:
        return [
            str(self.program()),
            "--no-defaults",
            *self._folders(),
            f"--socket={self.folder}/socket",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            # The default of MariaDB 11.6 and later, which older releases do not all know: the harder case.
            "--loose-innodb-snapshot-isolation=ON",
        ]

    def _folders(self) -> list[str]:
        # A server that starts removes what another has left in its folder for temporary tables: none is shared.
        return [f"--datadir={self.folder}/data", f"--tmpdir={self.folder}"]


class PostgreSQL(Server):
    """PostgreSQL."""

    name = "PostgreSQL"
    packages = "postgresql"
    scheme = "postgresql"
    # Killed outright, it would leave processes behind that keep it from starting again.
    _sudden_end = signal.SIGQUIT

    @classmethod
    def program(cls) -> Path | None:
        """Debian keeps it off the path, in a folder for each version."""
        return max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)

    def make_database(self, name: str) -> str:
        """Makes the user too."""
        if not self.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{USER}'"):
            quoted = PASSWORD.replace("'", "''")
            self.execute(f"CREATE USER {USER} PASSWORD '{quoted}'")
        self.execute(f"CREATE DATABASE {name} OWNER {USER}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> Sequence[Any]:
        """Logs in as postgres."""
        from pg8000 import native

        connection = native.Connection("postgres", unix_sock=f"{self.folder}/.s.PGSQL.{self.port}", database=database)
        try:
            return connection.run(statement) or []
        finally:
            connection.close()

    def _set_up(self) -> list[str]:
        program = self.program()
        assert program is not None
        options = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]
        return [str(program.with_name("initdb")), f"--pgdata={self.folder}/data", *options]

    def _serve(self) -> list[str]:
        settings = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", "fsync=off")
        options = [part for setting in settings for part in ("-c", setting)]
        return [str(self.program()), "-D", f"{self.folder}/data", "-p", str(self.port), *options]
