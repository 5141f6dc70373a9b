"""The API server of a cluster for tests, over HTTPS: what a pod with an account there sees of `FakeCluster`."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.fakes.serving_cluster import FakeCluster

TOKEN = "the-token-of-the-loop"
_NAMESPACED = "namespaces/conveyor-serving/"


@contextmanager
def api_server(cluster: FakeCluster, context: ssl.SSLContext, asked: list[tuple[str, str]]) -> Iterator[int]:
    """Answers on a port of this machine; `asked` gets the method and path of each request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self.answer()

        do_PATCH = do_GET  # noqa: N815 - as the base class calls them

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.send(401, {"message": "Unauthorized"})
            elif self.command == "GET":
                self.get(self.path.partition(_NAMESPACED)[2])
            elif self.headers["Content-Type"] != "application/merge-patch+json":
                self.send(415, {"message": "the body of the request was in an unknown format"})
            else:
                self.patch(self.path.partition(_NAMESPACED)[2], json.loads(body))

        def get(self, path: str) -> None:
            if path.startswith("pods?"):
                name = path.rpartition("name%2F")[2].rpartition("%3D")[2]
                files = sorted(cluster.folder.glob(f"pod-{name}-[0-9]*.json"))
                self.send(200, {"items": [json.loads(file.read_text()) for file in files]})
                return
            kind, _, name = path.partition("/")
            try:
                found = cluster.read(f"{kind.removesuffix('s')}-{name}")
            except FileNotFoundError:
                self.send(404, {"message": f'{kind} "{name}" not found'})
                return
            if kind == "deployments":
                pods = len(list(cluster.folder.glob(f"pod-{name}-[0-9]*.json")))
                found["status"] = {"observedGeneration": 1, "updatedReplicas": pods, "availableReplicas": pods}
            self.send(200, found)

        def patch(self, path: str, patch: dict[str, Any]) -> None:
            kind, name, *scale = path.split("/")
            found = cluster.read(f"{kind.removesuffix('s')}-{name}")
            version = found["metadata"].get("resourceVersion", "0")
            if kind == "pods":
                self.send(403, {"message": f'pods "{name}" is forbidden'})
                return
            if patch.get("metadata", {}).get("resourceVersion", version) != version:
                self.send(409, {"message": "the object has been modified"})
                return
            if scale:
                found["spec"]["replicas"] = patch["spec"]["replicas"]
            else:
                data = (found.get("data") or {}) | patch["data"]
                found["data"] = {key: value for key, value in data.items() if value is not None}
            found["metadata"]["resourceVersion"] = str(int(version) + 1)
            cluster.write(f"{kind.removesuffix('s')}-{name}", found)
            self.send(200, found)

        def send(self, status: int, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def write_account(folder: Path, authority: Path, token: str = TOKEN) -> Path:
    """What Kubernetes mounts into a pod with a ServiceAccount."""
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text(authority.read_text())
    (folder / "token").write_text(token + "\n")
    return folder
