"""Which ML Metadata database a pipeline uses: the one that CONVEYOR_METADATA names, otherwise SQLite in the workspace."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

    from pipeline.config import PipelineConfig

ENVIRONMENT_VARIABLE = "CONVEYOR_METADATA"
_PORTS = {"mysql": 3306, "postgresql": 5432}
_EXPECTED = "mysql://USER:PASSWORD@HOST:PORT/DATABASE, postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///PATH"


def connection(config: PipelineConfig) -> metadata_store_pb2.ConnectionConfig:
    """How to connect to the metadata database of a pipeline. Nothing is connected to and no folder is made.

    Args:
      config: names the workspace, whose SQLite database is used unless CONVEYOR_METADATA is set.

    Raises:
      ConfigError: CONVEYOR_METADATA is not the URL of a database. The error does not show it, as it holds a password.
    """
    url = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    return parse(url) if url else sqlite(config.metadata_path)


def sqlite(path: Path) -> metadata_store_pb2.ConnectionConfig:
    """How to connect to a SQLite database, which the first connection makes. Its folder must exist by then."""
    from ml_metadata.proto import metadata_store_pb2

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


def _sqlite_of(parts: SplitResult) -> metadata_store_pb2.ConnectionConfig:
    if parts.netloc or not parts.path.strip("/"):
        raise _malformed("no absolute path after sqlite://")
    return sqlite(Path("/" + unquote(parts.path).lstrip("/")))


def _server(scheme: str, host: str, port: int, user: str, password: str, database: str) -> metadata_store_pb2.ConnectionConfig:
    from ml_metadata.proto import metadata_store_pb2

    # The database is there already: who may use it need not have the right to make one.
    if scheme == "mysql":
        mysql = metadata_store_pb2.MySQLDatabaseConfig(
            host=host, port=port, database=database, user=user, password=password, skip_db_creation=True
        )
        return metadata_store_pb2.ConnectionConfig(mysql=mysql)
    postgresql = metadata_store_pb2.PostgreSQLDatabaseConfig(
        host=host, port=str(port), dbname=database, user=_quoted(user), password=_quoted(password), skip_db_creation=True
    )
    return metadata_store_pb2.ConnectionConfig(postgresql=postgresql)


def _quoted(value: str) -> str:
    """As libpq reads a value: ML Metadata puts it into the connection string as it is."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _malformed(seen: str) -> ConfigError:
    return ConfigError(
        f"{ENVIRONMENT_VARIABLE} does not name a database.",
        where=ENVIRONMENT_VARIABLE,
        expected=_EXPECTED,
        seen=seen,
        fix="Correct it; signs such as @ : / ? # % in a password are percent-encoded: @ is %40.",
    )
