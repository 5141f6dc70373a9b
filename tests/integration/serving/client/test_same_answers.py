"""A trained and pushed model gives the same answers however it is asked: gRPC, REST, the command, and BulkInferrer."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.client import AsyncClient, Client, Prediction
from tests.fakes.ports import free_ports
from tests.integration.conftest import CONFIG, CONVEYOR, ENVIRONMENT, Project
from tests.integration.serving.gateway.running import gateway

SPAN = 201304
# Float32 sums in another order, as the rows of a batch are shared out among threads.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Served:
    """A project whose model is served by `conveyor serve`."""

    project: Project
    grpc: str
    rest: str

    def predict(self, *arguments: str, address: str) -> str:
        """What `conveyor predict` prints."""
        done = self.project.conveyor("predict", "--address", address, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def served(project: Project) -> Iterator[Served]:
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    grpc_port, rest_port = free_ports(2)
    ports = ["--port", str(grpc_port), "--rest-port", str(rest_port)]
    with subprocess.Popen(
        [str(CONVEYOR), "serve", str(CONFIG), "--engine", "embedded", *ports],
        cwd=project.folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        try:
            assert any("version 1 answers" in line for line in server.stdout)
            yield Served(project, f"grpc://127.0.0.1:{grpc_port}/flights", f"http://127.0.0.1:{rest_port}/v1/models/flights")
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def scored(served: Served) -> list[dict[str, Any]]:
    """What BulkInferrer says to the span."""
    done = served.project.conveyor("score", "--span", str(SPAN), "--output", "scored.parquet")
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, Any]] = pq.read_table(served.project.folder / "scored.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def rows(sample: dict[int, pa.Table]) -> list[dict[str, Any]]:
    """The same rows as a program has them, without what the model was not made to see."""
    found: list[dict[str, Any]] = sample[SPAN].drop_columns(["late", "flight"]).to_pylist()
    return found


def without_latency(predictions: list[Prediction]) -> list[tuple[Any, ...]]:
    return [(one.version, one.label, one.probabilities, one.score) for one in predictions]


def test_bulk_inferrer_and_the_client_agree(served: Served, rows: list[dict[str, Any]], scored: list[dict[str, Any]]) -> None:
    with Client(served.grpc) as client:
        predictions = client.predict(rows)

    assert len(predictions) == len(scored) == 1500
    assert [one.score for one in predictions] == pytest.approx([row["score"] for row in scored], abs=TOLERANCE)
    assert {one.version for one in predictions} == {1}
    for one, row in zip(predictions, scored, strict=True):
        assert one.probabilities == pytest.approx(list(row["probabilities"].values()), abs=TOLERANCE)
        assert one.label == row["prediction"] or abs(one.probabilities[0] - 0.5) < TOLERANCE


def test_grpc_and_rest_agree_in_threads_and_in_asyncio(served: Served, rows: list[dict[str, Any]]) -> None:
    async def ask(address: str) -> list[Prediction]:
        async with AsyncClient(address) as client:
            return await client.predict(rows[:100])

    with Client(served.grpc) as client:
        expected = without_latency(client.predict(rows[:100]))
    with Client(served.rest) as client:
        assert without_latency(client.predict(rows[:100])) == expected
    for address in (served.grpc, served.rest):
        assert without_latency(asyncio.run(ask(address))) == expected


def test_single_rows_and_batches_agree(served: Served, rows: list[dict[str, Any]], scored: list[dict[str, Any]]) -> None:
    with Client(served.grpc) as client:
        singles = [client.predict([row])[0].score for row in rows[:20]]

    assert singles == pytest.approx([row["score"] for row in scored[:20]], abs=TOLERANCE)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_the_command_agrees_over_grpc_and_rest(
    served: Served, sample: dict[int, pa.Table], scored: list[dict[str, Any]], name: str
) -> None:
    file = served.project.folder / name
    frame = sample[SPAN].slice(0, 200)
    if file.suffix == ".csv":
        # Times in ISO 8601, missing values empty, and the label and an ignored column are still there.
        file.write_text(frame.to_pandas().to_csv(index=False))
    else:
        pq.write_table(frame, file)

    answers = [
        list(csv.DictReader(io.StringIO(served.predict("--file", str(file), "--output", "csv", address=address))))
        for address in (served.grpc, served.rest)
    ]

    told = [[(row["prediction"], row["score"], row["model_version"]) for row in answer] for answer in answers]
    assert told[0] == told[1]
    assert [float(score) for _, score, _ in told[0]] == pytest.approx([row["score"] for row in scored[:200]], abs=TOLERANCE)


def test_a_row_by_hand(served: Served) -> None:
    row = json.dumps({"carrier": "UA", "origin": "EWR", "dest": "LAX", "scheduled_departure": "2013-07-04T18:00:00Z"})

    table = served.predict("--json", row, address=served.grpc).splitlines()

    assert table[0].split() == ["row", "prediction", "probability", "version", "latency"]
    assert table[1].split()[3] == "1"
    assert table[-1] == f"1 row, answered by version 1 at {served.grpc}"


def test_a_prediction_is_explained_however_it_is_asked(served: Served, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    text = json.dumps(rows[0], default=str)
    with Client(served.grpc) as client:
        (one,) = client.predict([rows[0]], explain=True)
    with Client(served.rest) as client:
        (over_rest,) = client.predict([rows[0]], explain=True)
    with gateway(tmp_path, served.grpc) as running:
        body = {"rows": [json.loads(text)]}
        through_gateway = running.http.post("/v1/predict?explain=true", json=body).json()["predictions"][0]
    (printed,) = json.loads(served.predict("--json", text, "--explain", "--output", "json", address=served.grpc))

    assert one.explanation
    expected = asdict(one.explanation)
    added = {each["feature"]: each["contribution"] for each in expected["contributions"]}
    assert set(added) == set(rows[0])
    assert one.score == pytest.approx(expected["average"] + sum(added.values()), abs=1e-5)
    assert max(map(abs, added.values())) > 1e-3
    assert expected["rows_asked"] <= 1 + 32 * len(added)
    assert over_rest.explanation
    for told in (asdict(over_rest.explanation), through_gateway["explanation"], printed["explanation"]):
        assert {each["feature"]: each["contribution"] for each in told["contributions"]} == pytest.approx(added, abs=1e-6)
        assert (told["of"], told["rows_asked"]) == ("score", expected["rows_asked"])


def test_what_the_model_takes_is_its_contract(served: Served) -> None:
    """The client learns it from the server; the model says the same in a file of its own."""
    contract = json.loads((_version(served.project) / "assets.extra" / "conveyor.json").read_text())
    names = {"float": "DT_FLOAT", "int": "DT_INT64", "string": "DT_STRING"}

    for address in (served.grpc, served.rest):
        with Client(address) as client:
            schema = client.schema()
        assert {name: one.dtype for name, one in schema.features.items()} == {
            name: names[kind] for name, kind in contract["features"].items()
        }


def _version(project: Project) -> Path:
    return project.workspace / "models" / "flights" / "1"
