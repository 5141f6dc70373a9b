"""`conveyor predict` against a real server."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind
from components.shared.examples.tfrecord import frame
from pipeline.cli import main as command_line
from serving.client import Client
from serving.rollout import RolloutState

CONFIG = """
name: flights
label: late
data: {input: flights.csv}
features:
  flight: {kind: ignore}
"""
ROWS = "carrier,departure,distance,flight,late\nUA,900,1400,15,1\nDL,,0.5,16,0\n"


@dataclass(frozen=True)
class Done:
    """How the command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def predict(tmp_path, server, monkeypatch, capsys):
    """Runs the command in a folder with a configuration."""
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    (tmp_path / "rows.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)

    def _predict(*arguments, address=None, stdin=""):
        address = server.address("grpc") if address is None else address
        given = [*(["--address", address] if address else []), *arguments]
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as ended:
            command_line.main(["predict", *given])
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return _predict


@pytest.fixture
def expected(server):
    with Client(server.address("grpc")) as client:
        return client.predict([{"carrier": "UA", "departure": 900, "distance": 1400}, {"carrier": "DL", "distance": 0.5}])


def test_a_table_for_people(predict, expected, server):
    done = predict("--file", "rows.csv")

    assert done.returncode == 0, done.stderr
    heading, *rows, summary = done.stdout.splitlines()
    assert heading.split() == ["row", "prediction", "probability", "version", "latency"]
    assert [row.split()[:4] for row in rows] == [
        [str(number), str(one.label), f"{one.probability:.4f}", "3"] for number, one in enumerate(expected, start=1)
    ]
    assert all(row.split()[-1] == "ms" for row in rows)
    assert summary == f"2 rows, answered by version 3 at {server.address('grpc')}"


def test_json_for_programs(predict, expected, server):
    done = predict("--file", "rows.csv", "--output", "json", address=server.address("rest"))

    documents = json.loads(done.stdout)
    assert [one.pop("latency_ms") > 0 for one in documents] == [True, True]
    assert documents == [
        {
            "row": number,
            "prediction": one.label,
            "probability": one.probability,
            "probabilities": list(one.probabilities),
            "score": one.score,
            "model": "flights",
            "model_version": 3,
        }
        for number, one in enumerate(expected, start=1)
    ]


def test_csv_for_tables(predict, expected):
    done = predict("--file", "rows.csv", "--output", "csv")

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["row", "prediction", "probability", "score", "model", "model_version", "latency_ms"]
    assert [float(row["score"]) for row in rows] == [one.score for one in expected]


@pytest.fixture
def explained(server):
    server.references = [{"carrier": "DL", "departure": 7}, {"carrier": "UA", "departure": 900, "distance": 20.5}]
    with Client(server.address("grpc")) as client:
        return client.predict([{"carrier": "UA", "departure": 900, "distance": 1400}], explain=True)[0]


def test_an_explanation_for_people(predict, explained):
    done = predict("--file", "rows.csv", "--explain")

    assert done.returncode == 0, done.stderr
    heading, columns, *features = done.stdout.splitlines()[:5]
    average = f"{explained.explanation.average:.4f}"
    assert heading == f"row 1: prediction {explained.label}, score {explained.score:.4f}, on average {average}"
    assert columns.split() == ["feature", "value", "contribution"]
    shown = [line.replace("\N{MINUS SIGN}", "-").split() for line in features]
    values = {"carrier": "UA", "departure": "900", "distance": "1400"}
    for line, one in zip(shown, explained.explanation.contributions, strict=True):
        assert line[:2] == [one.feature, values[one.feature]]
        assert float(line[2].lstrip("±")) == pytest.approx(one.contribution, abs=5e-5)
    # The greatest has the longest bar.
    assert shown[0][3].count("█") == 12
    assert done.stdout.splitlines()[-1].startswith("2 rows, answered by version 3")


def test_an_explanation_for_programs(predict, explained):
    (document,) = json.loads(
        predict("--json", '{"carrier": "UA", "departure": 900, "distance": 1400}', "--explain", "-o", "json").stdout
    )

    explanation = document["explanation"]
    assert (explanation["of"], explanation["average"]) == ("score", explained.explanation.average)
    assert explanation["contributions"] == [
        {"feature": one.feature, "value": one.value, "contribution": one.contribution}
        for one in explained.explanation.contributions
    ]
    assert "explanation" not in json.loads(predict("--json", "{}", "-o", "json").stdout)[0]


def test_of_many_rows_and_features_the_first_are_explained(predict, explained, server):
    server.features |= {f"more_{number}": "DT_INT64" for number in range(10)}
    done = predict("--explain", stdin=json.dumps([{"more_3": 1}] * 12))

    assert done.stdout.count("3 others") == 10
    assert "… and 2 more; --output json prints them all" in done.stdout


def test_a_model_that_cannot_be_explained(predict):
    done = predict("--json", "{}", "--explain")

    assert done.returncode == 2
    assert "training.explainable: true" in done.stderr


def test_a_predicted_value(predict, server):
    server.outputs = {"predictions": ("DT_FLOAT", 1)}
    server.model = lambda columns: {"predictions": [1234567.5] * len(columns["carrier"])}

    assert predict("--json", "{}").stdout.splitlines()[1].split()[:3] == ["1", "1,234,568", "3"]
    assert json.loads(predict("--json", "{}", "-o", "json").stdout)[0]["prediction"] == 1234567.5


@pytest.mark.parametrize("stdin", [ROWS, '[{"carrier": "UA"}, {"late": 1}]', '{"carrier": "UA"}\n{"flight": 7}\n'])
def test_rows_from_standard_input(predict, stdin):
    done = predict("--output", "csv", stdin=stdin)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


TABLE = pa.table(
    {"carrier": ["UA", "DL"], "departure": [900, None], "distance": [1400.0, 0.5], "flight": [15, 16], "late": [1, 0]}
)


def write_tfrecord(table, path):
    kinds = {"carrier": Kind.TEXT, "departure": Kind.INTEGER, "distance": Kind.FLOAT}
    (rows,) = table.select(list(kinds)).to_batches()
    path.write_bytes(gzip.compress(frame(encode(rows, kinds))))


WRITERS = {
    "rows.parquet": pq.write_table,
    "rows.csv.gz": lambda table, path: path.write_bytes(gzip.compress(ROWS.encode())),
    "semicolons.csv": lambda table, path: path.write_text("carrier;departure;distance\nUA;900;1400,0\nDL;;0,5\n"),
    "tabs.csv": lambda table, path: path.write_text("carrier\tdeparture\tdistance\nUA\t900\t1400\nDL\tNA\t0.5\n"),
    "rows.json": lambda table, path: path.write_text(json.dumps(table.to_pylist())),
    "rows.jsonl": lambda table, path: path.write_text("\n".join(map(json.dumps, table.to_pylist()))),
    "rows.jsonl.gz": lambda table, path: path.write_bytes(
        gzip.compress("\n".join(map(json.dumps, table.to_pylist())).encode())
    ),
    "rows.tfrecord.gz": write_tfrecord,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_that_can_be_scored_can_be_asked_about(predict, expected, tmp_path, name):
    WRITERS[name](TABLE, tmp_path / name)
    done = predict("--file", name, "--output", "csv")

    assert done.returncode == 0, done.stderr
    assert [float(row["score"]) for row in csv.DictReader(io.StringIO(done.stdout))] == [one.score for one in expected]


@pytest.mark.parametrize("ending", ["parquet", "json", "jsonl"])
def test_several_files_by_a_pattern(predict, expected, tmp_path, ending):
    for number in range(2):
        WRITERS[f"rows.{ending}"](TABLE.slice(number, 1), tmp_path / f"part-{number}.{ending}")
    done = predict("--file", f"part-*.{ending}", "--output", "csv")

    assert [float(row["score"]) for row in csv.DictReader(io.StringIO(done.stdout))] == [one.score for one in expected]


def test_columns_beside_the_features_are_left_out_where_none_can_be_a_feature_by_another_name(predict, tmp_path):
    pq.write_table(TABLE.append_column("nothing", pa.nulls(2)), tmp_path / "nothing.parquet")
    assert predict("--file", "nothing.parquet").returncode == 0
    pq.write_table(TABLE.append_column("note", pa.array(["a", "b"])), tmp_path / "note.parquet")
    assert predict("--file", "note.parquet").returncode == 0
    pq.write_table(TABLE.drop_columns("departure").append_column("nothing", pa.nulls(2)), tmp_path / "fewer.parquet")
    assert predict("--file", "fewer.parquet").returncode == 0
    names = ["departures" if name == "departure" else name for name in TABLE.column_names]
    pq.write_table(TABLE.rename_columns(names), tmp_path / "typo.parquet")
    done = predict("--file", "typo.parquet")
    assert done.returncode == 3
    assert "Did you mean 'departure'?" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("gone.csv", None, 2),
        ("gone.jsonl", None, 2),
        ("rows.xlsx", b"PK\3\4", 3),
        ("broken.parquet", b"PAR1 or not", 3),
        ("empty.csv", b"carrier\n", 3),
    ],
)
def test_a_file_that_cannot_be_read_is_told(predict, tmp_path, name, content, code):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = predict("--file", name)

    assert done.returncode in (2, code), done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_long_table_is_cut_and_says_so(predict):
    done = predict(stdin=json.dumps([{}] * 2500))

    lines = done.stdout.splitlines()
    assert len(lines) == 53
    assert "2,450 more" in lines[-2]
    assert lines[-1].startswith("2,500 rows")


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("carrier,distance\nUA,1\nUA,far\n", ("row 2, feature 'distance'", "a number", "'far'")),
        ("carier\nUA\n", ("row 1", "'carier'", "Did you mean 'carrier'?")),
        ('{"carrier": 7}', ("row 1, feature 'carrier'", "text", "7, of type int")),
        ("a,b\n1\n", ("line 2", "2 fields")),
    ],
)
def test_wrong_rows_are_a_data_error_that_names_row_and_feature(predict, rows, parts):
    done = predict(stdin=rows)

    assert done.returncode == 3
    assert done.stdout == ""
    assert "standard input" in done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_the_file_is_named_where_a_row_is_wrong(predict, tmp_path):
    (tmp_path / "rows.json").write_text('{"distance": "far"}')

    assert "rows.json, row 1, feature 'distance'" in predict("--file", "rows.json").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--file", "rows.csv", "--json", "{}"),
        ("--json", "{}", "--rest"),
        ("--json", "{}", "--target", "cluster"),
        ("--json", "{}", "--timeout", "0"),
        ("--json", "{}", "--explain", "--output", "csv"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(predict, arguments):
    assert predict(*arguments).returncode == 2


@pytest.mark.parametrize("address", ["localhost:8500", "grpc://127.0.0.1:1/flights/versions/x"])
def test_what_is_no_address_is_a_usage_error(predict, address):
    done = predict("--json", "{}", address=address)

    assert done.returncode == 2
    assert "grpc://HOST:PORT/MODEL" in done.stderr


@pytest.mark.parametrize(("arguments", "port"), [((), "8500"), (("--rest",), "8501")])
def test_without_an_address_the_server_of_this_machine_is_asked(predict, arguments, port):
    """By the name of the configuration: whether one runs there is not this test's to say, so a model that none has."""
    done = predict("--json", "{}", *arguments, "--set", "name=nobody-serves-this", "--timeout", "2", address="")

    assert done.returncode in (1, 2)
    assert f"localhost:{port}" in done.stderr
    assert "nobody-serves-this" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "address"), [((), "grpc://localhost:8500/"), (("--rest",), "http://localhost:8501/v1/models/")]
)
def test_where_there_is_a_rollout_the_stable_version_is_asked(predict, tmp_path, arguments, address):
    state = tmp_path / ".conveyor" / "serving" / "nobody-serves-this" / "rollout.json"
    state.parent.mkdir(parents=True)
    state.write_text(RolloutState(stable=3, canary=4, traffic=10).model_dump_json())

    done = predict("--json", "{}", *arguments, "--set", "name=nobody-serves-this", "--timeout", "2", address="")

    assert f"{address}nobody-serves-this/labels/stable" in done.stderr


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_cluster_is_reached_by_a_forwarded_port(predict, tmp_path, server, protocol, monkeypatch):
    port = {"grpc": server.grpc_port, "rest": server.rest_port}[protocol]
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho "Forwarding from 127.0.0.1:{port} -> 1"\nexec sleep 60\n'
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}")

    rest = ["--rest"] if protocol == "rest" else []
    done = predict("--file", "rows.csv", "--target", "cluster", *rest, address="")

    assert done.returncode == 0, done.stderr
    called = (tmp_path / "called").read_text().split()
    assert called[:4] == ["--context", "kind-conveyor", "--namespace", "conveyor-serving"]
    assert called[-2:] == ["service/serving", ":8501" if rest else ":8500"]


def test_a_server_that_is_away(predict, server):
    server.stop()
    done = predict("--json", "{}")

    assert done.returncode == 1
    assert "conveyor serve" in done.stderr
