"""The ports that tests are given."""

from __future__ import annotations

import socket
import subprocess
import sys

from pipeline.util.checkout import ROOT
from tests.fakes.ports import free_port, free_ports


def test_no_port_is_given_twice():
    asked = "from tests.fakes.ports import free_ports; print(*free_ports(200)); input()"
    with subprocess.Popen(
        [sys.executable, "-c", asked], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        theirs = {int(port) for port in other.stdout.readline().split()}
        ours = free_ports(200)
        other.communicate("\n")

    assert len(theirs) == 200
    assert len({*theirs, *ours}) == 400


def test_a_port_can_be_listened_on():
    port = free_port()

    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        assert client.getpeername() == ("127.0.0.1", port)
