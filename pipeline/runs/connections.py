"""TFX's connections to the metadata database, safe to use while other nodes run. For reading alone, `metadata` is faster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from ml_metadata import errors
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils

from pipeline.runs import database
from pipeline.runs.sqlite_store import SqliteStore, require_whole

if TYPE_CHECKING:
    from types import TracebackType

    from ml_metadata.proto import metadata_store_pb2
    from tfx.proto.orchestration import pipeline_pb2

    from pipeline.errors import StorageError


class SerialisedMetadata(metadata.Metadata):
    """A connection to a SQLite store that lets one process in at a time.

    Nodes run side by side, and SQLite refuses a second writer instead of making it wait. TFX holds a connection only while it
    resolves inputs and publishes outputs, never while an executor works, so waiting costs milliseconds.
    """

    def __init__(self, connection_config: metadata_store_pb2.ConnectionConfig) -> None:
        super().__init__(connection_config)
        self.failure: StorageError | None = None
        """The first error that the store's file was met with. TFX passes some on as text alone."""
        # One lock for all threads of the process: TFX enters the same connection from more than one.
        self._path = Path(connection_config.sqlite.filename_uri)
        self._lock = FileLock(f"{self._path}.lock", thread_local=False)
        self._verified = False

    def __enter__(self) -> metadata.Metadata:
        self._lock.acquire()
        try:
            if not self._verified:
                require_whole(self._path)
                self._verified = True
            self._store = SqliteStore(self.connection_config)
        except BaseException:
            self._lock.release()
            raise
        self._users += 1
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        try:
            if isinstance(self._store, SqliteStore):
                self.failure = self.failure or self._store.failure
            super().__exit__(exc_type, exc_value, exc_tb)
        finally:
            self._lock.release()


class ServerMetadata(metadata.Metadata):
    """A connection to a database server. If the server goes away, the error says so and names its address."""

    failure: StorageError | None = None

    def __enter__(self) -> metadata.Metadata:
        self._store = database.connect(self.connection_config)
        self._users += 1
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        super().__exit__(exc_type, exc_value, exc_tb)
        if isinstance(exc_value, errors.InternalError):
            refused = database.refusal(self.connection_config)
            if refused:
                raise refused from exc_value


def open_metadata(connection_config: metadata_store_pb2.ConnectionConfig) -> SerialisedMetadata | ServerMetadata:
    """A connection to the metadata store, safe to use while other nodes run. Makes the folder of a SQLite database."""
    if connection_config.HasField("sqlite"):
        Path(connection_config.sqlite.filename_uri).parent.mkdir(parents=True, exist_ok=True)
        return SerialisedMetadata(connection_config)
    return ServerMetadata(connection_config)


def connection_of(ir: pipeline_pb2.Pipeline) -> metadata_store_pb2.ConnectionConfig:
    """The connection to the metadata store that a pipeline was compiled with."""
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    return getattr(config, config.WhichOneof("connection_config"))
