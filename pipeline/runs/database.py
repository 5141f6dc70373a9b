"""The ML Metadata database of a pipeline: the one that CONVEYOR_METADATA names, otherwise SQLite in the workspace."""

from __future__ import annotations

import os
import random
import re
import struct
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

# Attempts for a connection or a call with which other processes interfere.
_ATTEMPTS = 10
# Messages of the databases to the process that lost a conflict. ML Metadata itself retries only after deadlocks in MySQL.
_CONFLICTS = ("Record has changed since last read", "deadlock detected", "could not serialize access")
_SECONDS_TO_CONNECT = 10
# What the clients raise beside their own errors where something else answers, or nothing.
_NO_DATABASE = (OSError, LookupError, ValueError, struct.error)
# A character of Unicode's private use area, which stands for a backslash in PostgreSQL.
_BACKSLASH = "\ue05c"
# MySQL's error numbers and PostgreSQL's codes.
_USER_REFUSED = (1045, "28P01", "28000")
_DATABASE_REFUSED = (1044, 1049, "3D000")


class DatabaseDownError(StorageError):
    """No server answers, or it accepts no more connections. This may pass."""


def connection(config: PipelineConfig) -> metadata_store_pb2.ConnectionConfig:
    """The connection settings of a pipeline's metadata database. No connection is opened and no folder is created.

    Args:
      config: the pipeline's configuration. The SQLite database in its workspace is used unless CONVEYOR_METADATA is set.

    Raises:
      ConfigError: CONVEYOR_METADATA is not the URL of a database. The error does not show it, as it holds a password.
    """
    return from_environment() or sqlite(config.metadata_path)


def from_environment() -> metadata_store_pb2.ConnectionConfig | None:
    """The connection settings of the database that CONVEYOR_METADATA names; None when the variable is not set.

    Raises:
      ConfigError: the value is not the URL of a database. The error does not show it, as it holds a password.
    """
    url = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    return parse(url) if url else None


def sqlite(path: Path) -> metadata_store_pb2.ConnectionConfig:
    """The connection settings of a SQLite database, which the first connection creates. Its folder must exist by then."""
    mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    file = metadata_store_pb2.SqliteMetadataSourceConfig(filename_uri=str(path), connection_mode=mode)
    return metadata_store_pb2.ConnectionConfig(sqlite=file)


def parse(url: str) -> metadata_store_pb2.ConnectionConfig:
    """The connection settings of the database at a URL.

    Args:
      url: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, `postgresql://` with the same, or `sqlite:///PATH`. The port may be
        left out. Characters with a meaning in URLs are percent-encoded in user, password and database.

    Raises:
      ConfigError: the URL has another form. The error does not show it, as it holds a password.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in (*_PORTS, "sqlite"):
        raise _malformed(f"the scheme {scheme!r}" if separator else "no scheme")
    try:
        parts = urlsplit(url)
        port = parts.port  # raises ValueError for an invalid port
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
        # ML Metadata puts the name into its statements unquoted.
        raise _malformed("a database name with characters other than letters, digits and _")
    return _server(scheme, parts.hostname or "", port or _PORTS[scheme], user, password, database)


def address(connection: metadata_store_pb2.ConnectionConfig) -> str:
    """The address of the database without user and password: `mysql://HOST:PORT/DATABASE`, or the path of a SQLite file."""
    if connection.HasField("mysql"):
        return f"mysql://{connection.mysql.host}:{connection.mysql.port}/{connection.mysql.database}"
    if connection.HasField("postgresql"):
        server = connection.postgresql
        return f"postgresql://{server.host}:{server.port}/{server.dbname}"
    return str(connection.sqlite.filename_uri)


def exists(connection: metadata_store_pb2.ConnectionConfig) -> bool:
    """Whether there is a database to read. The first run creates a SQLite file; a database on a server is assumed to exist.

    The file of a run that was killed while it created the database is empty.
    """
    if not connection.HasField("sqlite"):
        return True
    path = Path(connection.sqlite.filename_uri)
    return path.is_file() and path.stat().st_size > 0


def connect(connection: metadata_store_pb2.ConnectionConfig) -> MetadataStore:
    """Connects to a database on a server. In an empty database, ML Metadata creates its tables.

    Args:
      connection: the settings, from `connection` or `parse`. They must not be for SQLite.

    Raises:
      DatabaseDownError: no server answers.
      StorageError: the server refuses this user or does not have the database, or the tables were made by another
        release of ML Metadata.
    """
    store = _PostgreSQLStore if connection.HasField("postgresql") else _Store
    problem = ""
    for _ in range(_ATTEMPTS):
        # Another client tries first: ML Metadata does not say why a connection fails, and may wait for minutes.
        if refused := refusal(connection):
            raise refused
        try:
            return store(_for_ml_metadata(connection))
        # The binding raises RuntimeError for every failure to connect.
        except RuntimeError as error:
            problem = str(error)
        if "library version" in problem:
            break
        # If several processes find an empty database, one creates the tables; the others find them on the next attempt.
        time.sleep(random.uniform(0.2, 0.8))
    if "mysql_real_connect" in problem:
        raise StorageError(
            "ML Metadata cannot log in to the metadata database, although user and password are correct.",
            where=address(connection),
            expected="a user that authenticates by mysql_native_password, the only method that ML Metadata supports",
            fix="Start MySQL 8.4 with --mysql-native-password=ON, and then: "
            f"ALTER USER {connection.mysql.user} IDENTIFIED WITH mysql_native_password BY 'PASSWORD'",
        )
    raise StorageError(
        "The tables in the metadata database are not what ML Metadata expects.",
        where=address(connection),
        expected="an empty database, or one that this release of ML Metadata has written",
        seen=problem[:500],
        fix="Name another database, or empty this one; to keep its content, restore it from a copy.",
    )


def refusal(connection: metadata_store_pb2.ConnectionConfig) -> StorageError | None:
    """The reason why a server refuses the connection; None when it accepts it."""
    code, message = _try_mysql(connection.mysql) if connection.HasField("mysql") else _try_postgresql(connection.postgresql)
    if not message:
        return None
    kind, expected = StorageError, f"the database of {ENVIRONMENT_VARIABLE}, open to its user"
    if code in _USER_REFUSED:
        what = "The metadata database refuses the user or the password."
        fix = f"Correct them in {ENVIRONMENT_VARIABLE}; in a cluster, that is the Secret conveyor-metadata."
    elif code in _DATABASE_REFUSED:
        what = "The metadata database does not exist, or the user may not use it."
        fix = f"Create it, grant the user all rights in it, or correct {ENVIRONMENT_VARIABLE}."
    else:
        kind, expected = DatabaseDownError, "a server that answers"
        what = "The metadata database cannot be reached."
        fix = (
            "Check that it runs: kubectl -n kubeflow get deployment conveyor-metadata. "
            "Once it is back, run again: complete nodes are not repeated."
        )
    return kind(what, where=address(connection), expected=expected, seen=message, fix=fix)


class _Store(MetadataStore):
    """Retries calls that lost a conflict with another process, on either database."""

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        try:
            super()._call_method(method_name, request, response)
        except errors.InternalError as error:
            if any(conflict in str(error) for conflict in _CONFLICTS):
                raise errors.AbortedError(str(error)) from error
            raise


class _PostgreSQLStore(_Store):
    r"""Keeps backslashes from PostgreSQL: ML Metadata builds invalid statements from strings with one, as JSON often has.

    It strips the quotes that libpq adds to an escaped string, but with a backslash the string starts with E' instead of '.
    """

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        _replace(request, "\\", _BACKSLASH)
        super()._call_method(method_name, request, response)
        _replace(response, _BACKSLASH, "\\")


def _replace(message: Message, old: str, new: str) -> None:
    """Replaces a character in every string of a message, in place; keys of maps stay."""
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
    """Connects with another client. Returns MySQL's error number and message, which is empty on success."""
    import pymysql

    try:
        pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
            connect_timeout=_SECONDS_TO_CONNECT,
            # For the log-in, which connect_timeout leaves out.
            read_timeout=_SECONDS_TO_CONNECT,
            write_timeout=_SECONDS_TO_CONNECT,
        ).close()
    except pymysql.MySQLError as error:
        # Errors of the client's own have no number.
        number, message = (0, *error.args)[-2:]
        return number, message
    except _NO_DATABASE as error:
        return 0, _no_database(error)
    return 0, ""


def _try_postgresql(server: metadata_store_pb2.PostgreSQLDatabaseConfig) -> tuple[str, str]:
    """Connects with another client. Returns PostgreSQL's error code and message, which is empty on success."""
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
    except _NO_DATABASE as error:
        return "", _no_database(error)
    return "", ""


def _no_database(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) else f"an answer that is not a database's ({type(error).__name__}: {error})"


def _for_ml_metadata(connection: metadata_store_pb2.ConnectionConfig) -> metadata_store_pb2.ConnectionConfig:
    """The same connection settings, in the form in which ML Metadata reads them correctly."""
    prepared = metadata_store_pb2.ConnectionConfig()
    prepared.CopyFrom(connection)
    prepared.retry_options.max_num_retries = _ATTEMPTS
    if prepared.HasField("postgresql"):
        # ML Metadata puts them into a connection string unquoted.
        prepared.postgresql.user = _quoted(connection.postgresql.user)
        prepared.postgresql.password = _quoted(connection.postgresql.password)
    elif prepared.mysql.host == "localhost":
        # MySQL's client takes this name for a local socket and ignores the port.
        prepared.mysql.host = "127.0.0.1"
    return prepared


def _sqlite_of(parts: SplitResult) -> metadata_store_pb2.ConnectionConfig:
    if parts.netloc or not parts.path.strip("/"):
        raise _malformed("no absolute path after sqlite://")
    return sqlite(Path("/" + unquote(parts.path).lstrip("/")))


def _server(scheme: str, host: str, port: int, user: str, password: str, database: str) -> metadata_store_pb2.ConnectionConfig:
    # The database exists already: its user need not have the right to create one.
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
    """A value as libpq reads it in a connection string."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _malformed(seen: str) -> ConfigError:
    return ConfigError(
        f"{ENVIRONMENT_VARIABLE} does not name a database.",
        where=ENVIRONMENT_VARIABLE,
        expected=_EXPECTED,
        seen=seen,
        fix="Correct it. Percent-encode characters such as @ : / ? # % in a password: @ is %40.",
    )
