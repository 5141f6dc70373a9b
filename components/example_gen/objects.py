"""Input files in object stores, s3:// and gs://: listed there, and copied to this machine before they are read.

A copy is kept in the folder for temporary files (TMPDIR) and not fetched again while the object has the same size and time.
It is removed when it has not been used for 30 days: a window of spans moves on.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.contracts import input_pattern
from pipeline.errors import ConveyorError, StorageError, UsageError
from pipeline.util.paths import is_object

if TYPE_CHECKING:
    from pyarrow import fs

_WORKERS = 8
_CHUNK_BYTES = 8 << 20
_CONNECT_SECONDS, _REQUEST_SECONDS, _RETRY_SECONDS = 10, 60, 60
# Times of objects are in whole seconds: one that is written again within this time may look the same.
_SETTLED_SECONDS = 2.0
_UNUSED_SECONDS = 30 * 24 * 60 * 60
# As the AWS SDK and Google's client say it in the messages of Arrow's errors.
_DENIED = re.compile(
    r"AWS Error (ACCESS_DENIED|INVALID_\w+|SIGNATURE_\w+|\w*TOKEN\w*)|HTTP status 40[13]"
    r"|Status\((PERMISSION_DENIED|UNAUTHENTICATED)|access token"
)
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login",
}
_ENDPOINTS = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",)}


def listed(pattern: str) -> list[str]:
    """The addresses of the objects in the innermost folder that a pattern names, and below it where the pattern goes deeper.

    Args:
      pattern: s3://BUCKET/… or gs://BUCKET/…, with `*`, `?`, {SPAN} and {VERSION} as in a path.

    Returns:
      Addresses, sorted, which need not match the pattern.

    Raises:
      UsageError: the bucket may not be read with the credentials that are there.
      StorageError: the store does not answer.
    """
    from pyarrow import fs

    scheme, folder = _parts(input_pattern.folder(pattern))
    deeper = "/" in pattern[len(f"{scheme}://{folder}/") :]
    with _told(pattern):
        found = _store(_bucket(pattern)).get_file_info(fs.FileSelector(folder, recursive=deeper, allow_not_found=True))
    return sorted(f"{scheme}://{info.path}" for info in found if info.type == fs.FileType.File)


def last_changed(addresses: Sequence[str]) -> float:
    """When objects of one bucket were written last, in seconds since 1970; now, if one of them is gone.

    Args:
      addresses: at least one.

    Raises:
      UsageError: the bucket may not be read with the credentials that are there.
      StorageError: the store does not answer.
    """
    with _told(addresses[0]):
        found = _store(_bucket(addresses[0])).get_file_info([_parts(address)[1] for address in addresses])
    return max(time.time() if info.mtime_ns is None else info.mtime_ns / 1e9 for info in found)


def local_copies(paths: Iterable[str]) -> dict[str, str]:
    """Where files can be read on this machine: by path, the path itself, or the copy of an object.

    Raises:
      UsageError: an object is gone, or may not be read.
      StorageError: the store does not answer, or the copy cannot be written.
    """
    paths = list(dict.fromkeys(paths))
    addresses = [path for path in paths if is_object(path)]
    if not addresses:
        return {path: path for path in paths}
    folder, stores = _folder(), {}
    for address in addresses:
        if (bucket := _bucket(address)) not in stores:
            with _told(address):
                stores[bucket] = _store(bucket)
    with ThreadPoolExecutor(_WORKERS) as pool:
        copied = pool.map(lambda address: _copied(address, stores[_bucket(address)], folder), addresses)
        copies = dict(zip(addresses, copied, strict=True))
    _remove_unused(folder)
    return {path: copies.get(path, path) for path in paths}


@contextmanager
def told_by_address(copies: Mapping[str, str]) -> Iterator[None]:
    """Lets errors about copies name the objects.

    Args:
      copies: the copies by the addresses of their objects, as `local_copies` returns them.
    """
    try:
        yield
    except ConveyorError as error:
        for address, copy in copies.items():
            error.where, error.seen, error.fix = (text.replace(copy, address) for text in (error.where, error.seen, error.fix))
        raise


def _copied(address: str, store: fs.FileSystem, folder: Path) -> str:
    from pyarrow import fs

    _, path = _parts(address)
    copy = folder / hashlib.sha256(address.encode()).hexdigest()[:16] / os.path.basename(path)
    with _told(address):
        info = store.get_file_info(path)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"there is no {path}")
        copy.parent.mkdir(exist_ok=True)
        os.utime(copy.parent)  # The copy's own time is the object's.
        if copy.is_file() and (copy.stat().st_size, copy.stat().st_mtime_ns) == _state(info):
            return str(copy)
        with tempfile.NamedTemporaryFile(dir=copy.parent, delete=False) as target:
            try:
                with store.open_input_stream(path) as source:
                    shutil.copyfileobj(source, target, _CHUNK_BYTES)
                # A store is read in parts, which may be of two versions.
                if _state(store.get_file_info(path)) != _state(info):
                    raise StorageError(
                        "An object was written again while it was read.", where=address, fix="Run again when it is complete."
                    )
                target.flush()
                settled = time.time() - info.mtime_ns / 1e9 > _SETTLED_SECONDS
                os.utime(target.name, ns=(info.mtime_ns, info.mtime_ns if settled else 0))
                os.replace(target.name, copy)
            except BaseException:
                Path(target.name).unlink(missing_ok=True)
                raise
    return str(copy)


def _remove_unused(folder: Path) -> None:
    for parent in folder.iterdir():
        with suppress(FileNotFoundError):  # Another process may be at it.
            if time.time() - parent.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(parent)


def _state(info: fs.FileInfo) -> tuple[int, int]:
    """What an object and its copy are compared by: size in bytes, and time in nanoseconds."""
    return info.size, info.mtime_ns


def _folder() -> Path:
    """The folder of the copies, which is this user's alone."""
    folder = Path(tempfile.gettempdir()) / f"conveyor-objects-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise StorageError(
            "The folder for copies of objects belongs to somebody else.",
            where=str(folder),
            fix="Set TMPDIR to a folder of your own.",
        )
    return folder


def _parts(address: str) -> tuple[str, str]:
    """The scheme of an address, and its bucket and key."""
    scheme, _, path = address.partition("://")
    return scheme, path


def _bucket(address: str) -> str:
    """The bucket of an address, as an address."""
    return "/".join(address.split("/", 3)[:3])


def _store(bucket: str) -> fs.FileSystem:
    """The store of a bucket, with the credentials and the endpoint of the environment."""
    from pyarrow import fs

    scheme, name = _parts(bucket)
    address = next((value for name in _ENDPOINTS[scheme] if (value := os.environ.get(name))), "")
    # Emulators are often named by host and port alone.
    endpoint = urlsplit(address if "://" in address or not address else f"{'http' if scheme == 'gs' else 'https'}://{address}")
    settings: dict[str, Any] = {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc} if endpoint.netloc else {}
    if scheme == "gs":
        return fs.GcsFileSystem(**settings, anonymous=bool(settings), retry_time_limit=timedelta(seconds=_RETRY_SECONDS))
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and not settings:
        region = fs.resolve_s3_region(name)
    return fs.S3FileSystem(**settings, region=region, connect_timeout=_CONNECT_SECONDS, request_timeout=_REQUEST_SECONDS)


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Makes an error of what an object store answers, or that it does not answer."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        scheme, path = _parts(address)
        seen = str(error).strip().splitlines()[0]
        if _DENIED.search(seen):
            raise UsageError(
                f"The bucket {path.partition('/')[0]} may not be read with these credentials.",
                where=address,
                seen=seen,
                fix=f"Set {_CREDENTIALS[scheme]}; for pods, in Secrets that kubeflow.environment names.",
            ) from error
        if isinstance(error, FileNotFoundError):
            raise UsageError(
                "The object is gone.", where=address, seen=seen, fix="Run again: objects are listed anew."
            ) from error
        raise StorageError(
            "The object store cannot be read.",
            where=address,
            seen=seen,
            fix=f"Check the network, and the address of the store if it is not the public one: {_ENDPOINTS[scheme][-1]}",
        ) from error
