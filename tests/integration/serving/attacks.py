"""Random attacks on a server over HTTP and gRPC, from a seed: bytes, bombs and slow clients.

    python -m tests.integration.serving.attacks --minutes 5

attacks a model server and a gateway, each in a process of its own whose memory is limited, and says how they bore it.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import random
import re
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from tests.integration.serving.watched import Watched

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_SECONDS = 0.3
# What a server says of its own faults. Others are refusals: 501 of a type, 503 and 504 of too much at once.
_FAULTS = re.compile(rb"HTTP/1\.1 (500|502)")
_WORDS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b"\x00",
    b"\xff",
    b"1e999",
    b"NaN",
    b"Inf",
    b"-",
    b"0",
    b"9" * 400,
    b"null",
]
_METHODS = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"CONNECT", b"TRACE", b"PRI"]


class HttpAttacker:
    """Sends what no client would.

    Args:
      port: the server's port on this machine.
      path: where it takes predictions.
      body: a right one.
      chance: the source of what is random.
    """

    def __init__(self, port: int, path: str, body: dict[str, Any], chance: random.Random) -> None:
        self._port, self._path, self._body, self._chance = port, path.encode(), json.dumps(body).encode(), chance
        self._kept: list[socket.socket] = []

    @property
    def attacks(self) -> list[Callable[[], None]]:
        """The attacks, each a call."""
        return [
            self.bytes,
            self.words,
            self.changed,
            self.head,
            self.bomb,
            self.chunks,
            self.pipelined,
            self.silent,
            self.nested,
        ]

    def bytes(self) -> None:
        """Any bytes in place of a request."""
        self._send(self._chance.randbytes(self._chance.randrange(5000)))

    def words(self) -> None:
        """A body of pieces of JSON."""
        self._post(b"".join(self._chance.choices(_WORDS, k=self._chance.randrange(3000))))

    def changed(self) -> None:
        """A right request with a few bytes changed, left out or doubled."""
        request = bytearray(self._head(len(self._body)) + self._body)
        for _ in range(self._chance.randrange(1, 6)):
            at = self._chance.randrange(len(request))
            request[at : at + self._chance.randrange(3)] = self._chance.choice(
                [b"", self._chance.choice(_WORDS), bytes(request[:at])]
            )
        self._send(bytes(request))

    def head(self) -> None:
        """Headers without an end, or very many."""
        name = b"a" * self._chance.choice([1, 100, 100_000])
        line = name + b": " + b"b" * self._chance.choice([0, 1000, 1_000_000]) + self._chance.choice([b"", b"\r\n", b"\n"])
        target = self._path + b"?" + b"c" * self._chance.choice([0, 10_000])
        self._send(self._chance.choice(_METHODS) + b" " + target + b" HTTP/1.1\r\n" + line * self._chance.choice([1, 5, 200]))

    def bomb(self) -> None:
        """A body that becomes large when it is uncompressed."""
        content = self._chance.choice([b" ", b"[", b"{}", b'"', b"1,"]) * self._chance.choice([1000, 10_000_000])
        self._post(gzip.compress(content, 1), b"Content-Encoding: gzip\r\n")

    def chunks(self) -> None:
        """A body in chunks that ends late, or not at all."""
        chunk = b"%x\r\n%s\r\n" % (65536, bytes(65536))
        self._send(
            self._head(None)
            + chunk * self._chance.choice([1, 50, 400])
            + self._chance.choice([b"", b"0\r\n", b"0\r\n\r\n", b"zz"])
        )

    def pipelined(self) -> None:
        """Many requests at once."""
        self._send((self._head(len(self._body)) + self._body) * self._chance.choice([2, 20, 500]))

    def silent(self) -> None:
        """Connections that stay open and send nothing, or half a request."""
        for _ in range(20):
            with contextlib.suppress(OSError):
                connection = self._connect()
                connection.sendall(self._chance.choice([b"", b"POST", self._head(1000), self._head(None) + b"5\r\nab"]))
                self._kept.append(connection)
        while len(self._kept) > 400:
            self._kept.pop(0).close()

    def nested(self) -> None:
        """JSON that is deep or wide."""
        opened = self._chance.choice([b"[", b'{"rows":', b'{"instances":[', b"[[],"])
        self._post(b'{"instances": ' + opened * self._chance.choice([40, 900, 200_000]))

    def close(self) -> None:
        """Closes the connections that were kept open."""
        for connection in self._kept:
            connection.close()

    def _post(self, body: bytes, headers: bytes = b"") -> None:
        self._send(self._head(len(body), headers) + body)

    def _head(self, length: int | None, headers: bytes = b"") -> bytes:
        size = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
        return b"POST %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n\r\n" % (self._path, headers, size)

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=_SECONDS)

    def _send(self, data: bytes) -> None:
        """Sends something, and looks at the beginning of what comes back."""
        answer = b""
        with contextlib.suppress(OSError), self._connect() as connection:
            connection.sendall(data)
            answer = connection.recv(65536)
        assert not _FAULTS.search(answer), (data[:500], answer[:500])


class GrpcAttacker:
    """Sends messages that no client would.

    Args:
      port: the server's port on this machine.
      model: the model's name.
      chance: the source of what is random.
    """

    def __init__(self, port: int, model: str, chance: random.Random) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._model, self._chance = model, chance
        self._silent: list[Any] = []

    @property
    def attacks(self) -> list[Callable[[], None]]:
        """The attacks, each a call."""
        return [self.bytes, self.changed, self.tensor, self.silent]

    def bytes(self) -> None:
        """Any bytes in place of a message."""
        self._call(self._chance.randbytes(self._chance.choice([10, 1000, 1_000_000])))

    def changed(self) -> None:
        """A right message with a few bytes changed."""
        message = bytearray(self._request(tensor_pb2.TensorProto(dtype=1, float_val=[1.0])))
        for _ in range(self._chance.randrange(1, 4)):
            message[self._chance.randrange(len(message))] = self._chance.randrange(256)
        self._call(bytes(message))

    def tensor(self) -> None:
        """A tensor whose shape, type and values do not belong together."""
        sizes = [0, 1, 2, 1000, 2**20, 2**31, 2**40, 2**62, -1]
        proto = tensor_pb2.TensorProto(dtype=self._chance.choice([1, 2, 3, 7, 9, 19, 21, 101, 5000]))
        for _ in range(self._chance.choice([0, 1, 2, 5, 40])):
            proto.tensor_shape.dim.add(size=self._chance.choice(sizes))
        field = self._chance.choice(["float_val", "int_val", "half_val", "int64_val", "bool_val"])
        getattr(proto, field).extend([1] * self._chance.choice([0, 1, 1000]))
        proto.string_val.extend([b"\xff"] * self._chance.choice([0, 1, 1000]))
        proto.tensor_content = bytes(self._chance.choice([0, 3, 4, 4000]))
        self._call(self._request(proto))

    def silent(self) -> None:
        """Calls that send no message."""

        def nothing() -> Any:
            time.sleep(1)
            yield from ()

        self._silent += [self._channel.stream_unary(_PREDICT).future(nothing()) for _ in range(5)]
        while len(self._silent) > 100:
            self._silent.pop(0).cancel()

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _request(self, proto: tensor_pb2.TensorProto) -> bytes:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.inputs["x"].CopyFrom(proto)
        return request.SerializeToString()

    def _call(self, message: bytes) -> None:
        try:
            self._channel.unary_unary(_PREDICT)(message, timeout=20)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
                raise AssertionError(message[:500], error.details()) from error


def attack(attackers: list[Any], watched: Watched, seconds: float, chance: random.Random) -> Counter[str]:
    """Attacks a server for a while, and looks after every few attacks whether it is well.

    Args:
      attackers: what makes the attacks.
      watched: the server.
      seconds: how long.
      chance: the source of what is random.

    Returns:
      The number of attacks by kind.

    Raises:
      AssertionError: the server is dead, does not answer, takes too much memory, or answered as if it were at fault.
    """
    attacks = [each for attacker in attackers for each in attacker.attacks]
    done: Counter[str] = Counter()
    watched.forget()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for each in chance.choices(attacks, k=10):
            each()
            done[f"{type(each.__self__).__name__}.{each.__name__}"] += 1  # type: ignore[attr-defined]
        watched.check()
    return done


def main() -> None:
    """Attacks both servers for as long as the command line says."""
    from tests.fakes.model_server import ModelServer
    from tests.integration.serving.gateway.running import ROW, gateway
    from tests.integration.serving.modelserver.running import program
    from tests.integration.serving.saved_models import write_half_plus

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    chance, seconds = random.Random(given.seed), given.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        write_half_plus(Path(folder) / "half" / "1")
        flags = ("--model_name=half", f"--model_base_path={folder}/half")
        with program(*flags, log=Path(folder) / "log") as (running, process):
            watched = Watched(process.pid, lambda: running.get("half").raise_for_status())
            attackers = [
                HttpAttacker(running.rest_port, "/v1/models/half:predict", {"instances": [1.0, 2.0]}, chance),
                GrpcAttacker(running.port, "half", chance),
            ]
            _report("model server", attack(attackers, watched, seconds, chance), watched)
        server = ModelServer()
        with gateway(Path(folder), server.address("grpc")) as running_gateway:
            watched = Watched(running_gateway.process.pid, lambda: running_gateway.http.get("/healthz").raise_for_status())
            port = int(running_gateway.url.rpartition(":")[2])
            attacker = HttpAttacker(port, "/v1/predict", {"rows": [ROW]}, chance)
            _report("gateway", attack([attacker], watched, seconds, chance), watched)
        server.stop()


def _report(name: str, done: Counter[str], watched: Watched) -> None:
    growth, health = watched.growth() / 2**20, watched.slowest * 1000
    print(f"{name}: {done.total():,} attacks, {growth:.0f} MiB more memory, health within {health:.0f} ms")
    for kind, number in sorted(done.items()):
        print(f"  {kind:<24} {number:>8,}")


if __name__ == "__main__":
    main()
