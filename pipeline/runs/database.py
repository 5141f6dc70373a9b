"""Which ML Metadata database a pipeline uses: the one that CONVEYOR_METADATA names, otherwise SQLite in the workspace."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterable, MutableMapping, MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from google.protobuf.message import Message
from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2

from pipeline.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

ENVIRONMENT_VARIABLE = "CONVEYOR_METADATA"
_PORTS = {"mysql": 3306, "postgresql": 5432}
_EXPECTED = "mysql://USER:PASSWORD@HOST:PORT/DATABASE, postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///PATH"

# How often a connection or a call is tried that other processes got in the way of.
_ATTEMPTS = 10
# What the databases answer to the one that gives way. ML Metadata itself tries again after a deadlock in MySQL alone.
_CONFLICTS = ("Record has changed since last read", "deadlock detected", "could not serialize access")
_SECONDS_TO_CONNECT = 10
# From Unicode's private use area: it stands for a backslash in PostgreSQL.
_BACKSLASH = "\ue05c"
# By MySQL's number or PostgreSQL's code: who it is that the server refuses.
_USER_REFUSED = (1045, "28P01", "28000")
_DATABASE_REFUSED = (1044, 1049, "3D000")


class DatabaseDownError(StorageError):
    """No server answers, or it takes no more connections: that may pass."""


def connection(config: PipelineConfig) -> metadata_store_pb2.ConnectionConfig:
    """How to connect to the metadata database of a pipeline. Nothing is connected to and no folder is made.

    Args:
      config: names the workspace, whose SQLite database is used unless CONVEYOR_METADATA is set.

    Raises:
      ConfigError: CONVEYOR_METADATA is not the URL of a database. The error does not show it, as it holds a password.
    """
    return from_environment() or sqlite(config.metadata_path)


def from_environment() -> metadata_store_pb2.ConnectionConfig | None:
    """How to connect to the database that CONVEYOR_METADATA names; None when it is not set.

    Raises:
      ConfigError: it is not the URL of a database. The error does not show it, as it holds a password.
    """
    url = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    return parse(url) if url else None


def sqlite(path: Path) -> metadata_store_pb2.ConnectionConfig:
    """How to connect to a SQLite database, which the first connection makes. Its folder must exist by then."""
    mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    file = metadata_store_pb2.SqliteMetadataSourceConfig(filename_uri=str(path), connection_mode=mode)
    return metadata_store_pb2.ConnectionConfig(sqlite=file)


def parse(url: str) -> metadata_store_pb2.ConnectionConfig:
    """How to connect to the database of a URL.

    Args:
      url: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, `postgresql://` with the same, or `sqlite:///PATH`. The port may be
        left out. Signs with a meaning in URLs are percent-encoded in user, password and database.

    Raises:
      ConfigError: it is not such a URL. The error does not show it, as it holds a password.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in (*_PORTS, "sqlite"):
        raise _malformed(f"the scheme {scheme!r}" if separator else "no scheme")
    try:
        parts = urlsplit(url)
        port = parts.port  # reading it is what finds a wrong one
    except ValueError:
        raise _malformed("a host or a port that cannot be read") from None
    if parts.query or parts.fragment:
        raise _malformed("a part after ? or #")
    if scheme == "sqlite":
        return _sqlite_of(parts)
    user, password, database = (unquote(part or "") for part in (parts.username, parts.password, parts.path[1:]))
    for name, value in (("user", user), ("host", parts.hostname), ("database", database)):
        if not value:
            raise _malformed(f"no {name}")
    if not re.fullmatch(r"\w+", database, re.ASCII):
        # ML Metadata puts the name into its statements as it is.
        raise _malformed("a database name with other signs than letters, digits and _")
    return _server(scheme, parts.hostname or "", port or _PORTS[scheme], user, password, database)


def address(connection: metadata_store_pb2.ConnectionConfig) -> str:
    """Where the database is, without user and password: `mysql://HOST:PORT/DATABASE`, or the path of a SQLite file."""
    if connection.HasField("mysql"):
        return f"mysql://{connection.mysql.host}:{connection.mysql.port}/{connection.mysql.database}"
    if connection.HasField("postgresql"):
        server = connection.postgresql
        return f"postgresql://{server.host}:{server.port}/{server.dbname}"
    return str(connection.sqlite.filename_uri)


def exists(connection: metadata_store_pb2.ConnectionConfig) -> bool:
    """Whether there is a database to read: a SQLite file is made by the first run, a server's is taken to be there."""
    return not connection.HasField("sqlite") or Path(connection.sqlite.filename_uri).is_file()


def connect(connection: metadata_store_pb2.ConnectionConfig) -> MetadataStore:
    """Connects to a database on a server. In an empty one, ML Metadata makes its tables.

    Args:
      connection: of `connection` or `parse`, and not to SQLite.

    Raises:
      DatabaseDownError: no server answers.
      StorageError: the server does not let this user in or does not have the database, or the tables are not of this
        release of ML Metadata.
    """
    store = _PostgreSQLStore if connection.HasField("postgresql") else _Store
    problem = ""
    for _ in range(_ATTEMPTS):
        # First another client, as ML Metadata does not say why it fails, and may wait for minutes.
        if refused := refusal(connection):
            raise refused
        try:
            return store(_for_ml_metadata(connection))
        # The binding raises RuntimeError for whatever it meets while it connects.
        except RuntimeError as error:
            problem = str(error)
        if "library version" in problem:
            break
        # Where several find an empty database, one makes the tables; the others fail, and find them made the next time.
        time.sleep(random.uniform(0.2, 0.8))
    if "mysql_real_connect" in problem:
        raise StorageError(
            "ML Metadata cannot log in to the metadata database, although user and password are right.",
            where=address(connection),
            expected="a user that authenticates by mysql_native_password, the only way that ML Metadata knows",
            fix="Start MySQL 8.4 with --mysql-native-password=ON, and then: "
            f"ALTER USER {connection.mysql.user} IDENTIFIED WITH mysql_native_password BY 'PASSWORD'",
        )
    raise StorageError(
        "The tables in the metadata database are not what ML Metadata expects.",
        where=address(connection),
        expected="an empty database, or one that this release of ML Metadata has filled",
        seen=problem[:500],
        fix="Name another database, or empty this one; to keep its content, restore it from a copy.",
    )


def refusal(connection: metadata_store_pb2.ConnectionConfig) -> StorageError | None:
    """Why a server does not let us in; None when it does."""
    code, message = _try_mysql(connection.mysql) if connection.HasField("mysql") else _try_postgresql(connection.postgresql)
    if not message:
        return None
    kind, expected = StorageError, f"the database of {ENVIRONMENT_VARIABLE}, open to its user"
    if code in _USER_REFUSED:
        what = "The metadata database refuses the user or the password."
        fix = f"Correct them in {ENVIRONMENT_VARIABLE}; in a cluster, that is the Secret conveyor-metadata."
    elif code in _DATABASE_REFUSED:
        what = "The metadata database does not exist, or the user may not use it."
        fix = f"Make it, or grant the user all rights in it, or correct {ENVIRONMENT_VARIABLE}."
    else:
        kind, expected = DatabaseDownError, "a server that answers"
        what = "The metadata database cannot be reached."
        fix = (
            "See whether it runs: kubectl -n kubeflow get deployment conveyor-metadata. "
            "Once it is back, run again: nodes that are complete are not repeated."
        )
    return kind(what, where=address(connection), expected=expected, seen=message, fix=fix)


class _Store(MetadataStore):
    """Tries a call again that gave way to another process, whichever the database."""

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        try:
            super()._call_method(method_name, request, response)
        except errors.InternalError as error:
            if any(conflict in str(error) for conflict in _CONFLICTS):
                raise errors.AbortedError(str(error)) from error
            raise


class _PostgreSQLStore(_Store):
    r"""Keeps backslashes from PostgreSQL: ML Metadata makes wrong statements of strings that have one, as JSON often has.

    It cuts the quotes off what libpq has escaped, and for a backslash that begins not with ' but with E'.
    """

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        _replace(request, "\\", _BACKSLASH)
        super()._call_method(method_name, request, response)
        _replace(response, _BACKSLASH, "\\")


def _replace(message: Message, old: str, new: str) -> None:
    """Replaces a sign in every string of a message, in place; names in mappings stay."""
    for field, value in message.ListFields():
        if isinstance(value, str):
            setattr(message, field.name, value.replace(old, new))
        elif isinstance(value, Message):
            _replace(value, old, new)
        elif isinstance(value, MutableMapping):
            _replace_in(value.values(), old, new)
        elif isinstance(value, MutableSequence) and value and isinstance(value[0], str):
            value[:] = [each.replace(old, new) for each in value]
        elif isinstance(value, MutableSequence):
            _replace_in(value, old, new)


def _replace_in(values: Iterable[Any], old: str, new: str) -> None:
    for value in values:
        if isinstance(value, Message):
            _replace(value, old, new)


def _try_mysql(server: metadata_store_pb2.MySQLDatabaseConfig) -> tuple[int, str]:
    """Connects with another client. Returns MySQL's number of what went wrong, and its message; empty when nothing did."""
    import pymysql

    try:
        pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
            connect_timeout=_SECONDS_TO_CONNECT,
        ).close()
    except pymysql.MySQLError as error:
        number, message = error.args
        return number, message
    return 0, ""


def _try_postgresql(server: metadata_store_pb2.PostgreSQLDatabaseConfig) -> tuple[str, str]:
    """Connects with another client. Returns PostgreSQL's code of what went wrong, and its message; empty when nothing did."""
    from pg8000 import native

    try:
        native.Connection(
            server.user,
            host=server.host,
            port=int(server.port),
            password=server.password,
            database=server.dbname,
            timeout=_SECONDS_TO_CONNECT,
        ).close()
    except native.DatabaseError as error:
        answer = error.args[0]
        return answer["C"], answer["M"]
    except native.InterfaceError as error:
        return "", str(error.__cause__ or error)
    return "", ""


def _for_ml_metadata(connection: metadata_store_pb2.ConnectionConfig) -> metadata_store_pb2.ConnectionConfig:
    """The same connection with ML Metadata's ways of reading it."""
    prepared = metadata_store_pb2.ConnectionConfig()
    prepared.CopyFrom(connection)
    prepared.retry_options.max_num_retries = _ATTEMPTS
    if prepared.HasField("postgresql"):
        # They become part of a connection string as they are.
        prepared.postgresql.user = _quoted(connection.postgresql.user)
        prepared.postgresql.password = _quoted(connection.postgresql.password)
    elif prepared.mysql.host == "localhost":
        # Its client takes that name for a socket on this machine, whatever the port.
        prepared.mysql.host = "127.0.0.1"
    return prepared


def _sqlite_of(parts: SplitResult) -> metadata_store_pb2.ConnectionConfig:
    if parts.netloc or not parts.path.strip("/"):
        raise _malformed("no absolute path after sqlite://")
    return sqlite(Path("/" + unquote(parts.path).lstrip("/")))


def _server(scheme: str, host: str, port: int, user: str, password: str, database: str) -> metadata_store_pb2.ConnectionConfig:
    # The database is there already: who may use it need not have the right to make one.
    if scheme == "mysql":
        mysql = metadata_store_pb2.MySQLDatabaseConfig(
            host=host, port=port, database=database, user=user, password=password, skip_db_creation=True
        )
        return metadata_store_pb2.ConnectionConfig(mysql=mysql)
    postgresql = metadata_store_pb2.PostgreSQLDatabaseConfig(
        host=host, port=str(port), dbname=database, user=user, password=password, skip_db_creation=True
    )
    return metadata_store_pb2.ConnectionConfig(postgresql=postgresql)


def _quoted(value: str) -> str:
    """As libpq reads a value in a connection string."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _malformed(seen: str) -> ConfigError:
    return ConfigError(
        f"{ENVIRONMENT_VARIABLE} does not name a database.",
        where=ENVIRONMENT_VARIABLE,
        expected=_EXPECTED,
        seen=seen,
        fix="Correct it; signs such as @ : / ? # % in a password are percent-encoded: @ is %40.",
    )
