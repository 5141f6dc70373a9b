"""The names that `serving.client` offers, and the imports that they cost."""

from __future__ import annotations

import subprocess
import sys

import serving.client

HEAVY = ("grpc", "httpx", "google.protobuf", "tensorflow", "numpy", "pydantic")


def test_every_public_name_is_there():
    assert all(hasattr(serving.client, name) for name in serving.client.__all__)


def test_importing_them_takes_neither_grpc_nor_httpx():
    program = f"import sys; from serving.client import Client; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
