"""A workspace with versions of a small model, and `conveyor` commands on it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import PipelineConfig
from tests.integration.serving.gateway.running import Gateway, write_model

CONVEYOR = Path(sys.executable).with_name("conveyor")
EVEN = 1 / 6000
"""The weight of a model whose scores are spread evenly from 0 to 1 for the rows of `Load`."""


class Place:
    """A workspace, and what people type.

    Attributes:
      config: of the pipeline.
      options: that every command gets, such as `--server`.
    """

    def __init__(self, folder: Path, *versions: int, **fields: Any) -> None:
        self.config = PipelineConfig.model_validate(
            {
                "name": "flights",
                "label": "late",
                "data": {"input": "{workspace}/data/span-{SPAN}.csv"},
                "workspace": str(folder / "workspace"),
                **fields,
            }
        )
        self._file = folder / "pipeline.yaml"
        self._file.write_text(yaml.safe_dump(self.config.model_dump(mode="json", by_alias=True, exclude_unset=True)))
        self.options: tuple[str, ...] = ()
        self.config.serving_path.mkdir(parents=True)
        for version in versions:
            self.push(version)

    def push(self, version: int, weight: float = EVEN) -> None:
        """Adds a version, as a run does."""
        write_model(self.config.serving_path, version, weight)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Starts `conveyor COMMAND …`."""
        line = [str(CONVEYOR), *command, "--config", str(self._file), *self.options]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def conveyor(self, *command: str, code: int = 0) -> str:
        """What `conveyor COMMAND …` prints on both channels; it has to end with an exit code."""
        with self.start(*command) as process:
            output, errors = process.communicate(timeout=240)
        assert process.returncode == code, output + errors
        return output + errors

    def json(self, *command: str) -> dict[str, Any]:
        """What `conveyor COMMAND … --json` prints."""
        with self.start(*command, "--json") as process:
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return dict(json.loads(output))


class Load:
    """Requests for a gateway, by several callers at once, as long as a block lasts.

    Attributes:
      versions: how many rows each version has answered.
      failures: every answer that was none.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._ended = threading.Event()
        self.versions: Counter[int] = Counter()
        self.failures: list[str] = []

    def _call(self, seed: int) -> None:
        rows = random.Random(seed)
        while not self._ended.is_set():
            row = {"carrier": "UA", "departure": rows.randrange(1440), "distance": rows.uniform(0, 6000)}
            try:
                response = self._gateway.predict(row)
            except Exception as error:
                self.failures.append(repr(error))
                continue
            if response.status_code == 200:
                self.versions[response.json()["predictions"][0]["model_version"]] += 1
            else:
                self.failures.append(response.text)

    @contextmanager
    def running(self, callers: int = 4) -> Iterator[Load]:
        """Runs in the background."""
        threads = [threading.Thread(target=self._call, args=(seed,), daemon=True) for seed in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(30)
