"""An object store on this machine, as far as inputs are read from one: Amazon S3's API, and Cloud Storage's JSON API."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS_KEY = "AKIAEXAMPLE"
LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dataclass
class ObjectStore:
    """The store's state.

    Attributes:
      host: its address.
      buckets: by name, the content and the time of each object by its key.
      reads: the keys whose content was read, in order.
      is_down: whether every request fails.
      after_read: called when the content of an object was read.
    """

    host: str = ""
    buckets: dict[str, dict[str, tuple[bytes, datetime]]] = field(default_factory=lambda: {"bucket": {}})
    reads: list[str] = field(default_factory=list)
    is_down: bool = False
    after_read: Callable[[], None] = lambda: None

    def put(self, key: str, content: bytes, written: datetime = LONG_AGO) -> None:
        """Writes an object."""
        self.buckets["bucket"][key] = content, written

    def below(self, bucket: str, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
        """The keys with a prefix, and the common prefixes of those that have the delimiter behind it."""
        keys, prefixes = [], set()
        for key in sorted(self.buckets[bucket]):
            if key.startswith(prefix):
                head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
                if found:
                    prefixes.add(f"{prefix}{head}{delimiter}")
                else:
                    keys.append(key)
        return keys, sorted(prefixes)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _HttpServer

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        store, url = self.server.store, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        if store.is_down:
            self.send(500, b"down")
        elif path.startswith(("/storage/", "/download/")):
            self.cloud_storage(store, path, query)
        else:
            self.s3(store, path, query)

    do_HEAD = do_GET  # noqa: N815 - as the base class calls it

    def s3(self, store: ObjectStore, path: str, query: dict[str, str]) -> None:
        bucket, _, key = path[1:].partition("/")
        if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
            self.refuse(403, "AccessDenied")
        elif bucket not in store.buckets:
            self.refuse(404, "NoSuchBucket")
        elif key:
            self.content(store, bucket, key)
        else:
            keys, prefixes = store.below(bucket, query.get("prefix", ""), query.get("delimiter", ""))
            parts = [
                f"<Contents><Key>{escape(each)}</Key><Size>{len(store.buckets[bucket][each][0])}</Size>"
                f"<LastModified>{store.buckets[bucket][each][1].strftime('%Y-%m-%dT%H:%M:%S.000Z')}</LastModified></Contents>"
                for each in keys
            ]
            parts += [f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in prefixes]
            total = len(parts)
            listing = f"<Name>{bucket}</Name><KeyCount>{total}</KeyCount><IsTruncated>false</IsTruncated>{''.join(parts)}"
            self.send(200, f'<?xml version="1.0"?><ListBucketResult>{listing}</ListBucketResult>'.encode(), "application/xml")

    def cloud_storage(self, store: ObjectStore, path: str, query: dict[str, str]) -> None:
        found = re.fullmatch(r"(/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?", path)
        assert found, path
        bucket, key = found[2], found[3]
        if bucket not in store.buckets:
            self.send(404, json.dumps({"error": {"code": 404, "message": "The specified bucket does not exist."}}).encode())
        elif key is None:
            keys, prefixes = store.below(bucket, query.get("prefix", ""), query.get("delimiter", ""))
            items = [self.metadata(store, bucket, each) for each in keys]
            self.send(200, json.dumps({"kind": "storage#objects", "items": items, "prefixes": prefixes}).encode())
        elif key not in store.buckets[bucket]:
            self.send(404, json.dumps({"error": {"code": 404, "message": "No such object"}}).encode())
        elif query.get("alt") == "media":
            self.content(store, bucket, key)
        else:
            self.send(200, json.dumps(self.metadata(store, bucket, key)).encode())

    def metadata(self, store: ObjectStore, bucket: str, key: str) -> dict[str, object]:
        content, written = store.buckets[bucket][key]
        moment = written.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        names = {"kind": "storage#object", "bucket": bucket, "name": key, "generation": "1", "metageneration": "1"}
        return {**names, "size": str(len(content)), "updated": moment, "timeCreated": moment}

    def content(self, store: ObjectStore, bucket: str, key: str) -> None:
        if key not in store.buckets[bucket]:
            self.refuse(404, "NoSuchKey")
            return
        content, written = store.buckets[bucket][key]
        if self.command == "GET":
            store.reads.append(key)
        first, last = 0, len(content) - 1
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), min(last, int(asked[2] or last))
        headers = {"Last-Modified": format_datetime(written, usegmt=True), "ETag": '"1"', "x-goog-generation": "1"}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self.send(206 if asked else 200, content[first : last + 1], "application/octet-stream", headers)
        if self.command == "GET":
            store.after_read()

    def refuse(self, status: int, code: str) -> None:
        self.send(status, f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode())

    def send(self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml" if body.startswith(b"<?xml") else kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store


@contextmanager
def serve() -> Iterator[ObjectStore]:
    """A store on a free port of this machine."""
    store = ObjectStore()
    server = _HttpServer(store)
    store.host = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
