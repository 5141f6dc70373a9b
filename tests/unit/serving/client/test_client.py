"""The client against a real server, over gRPC and REST."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError, UsageError
from serving.client import AsyncClient, Client
from serving.errors import DeadlineError, FeatureError, RejectedError, ServerAwayError, ServingError, UnknownModelError
from tests.fakes.model_server import ModelServer, RefusalError, free_address
from tests.fakes.waiting import PATIENCE, wait_until

ROWS = [
    {"carrier": "UA", "departure": 900, "distance": 1400},
    {"carrier": "Lufthansa Köln", "departure": "2013-04-01T06:30:00Z", "distance": 0.1},
    {"carrier": None, "distance": None},
    {},
]
AWAY = RefusalError(grpc.StatusCode.UNAVAILABLE, "one moment")

known_rows = st.fixed_dictionaries(
    {},
    optional={
        "carrier": st.none() | st.text() | st.binary(),
        "departure": st.none() | st.integers(1 - 2**63, 2**63 - 1) | st.datetimes(),
        "distance": st.none() | st.floats(allow_infinity=False, width=32) | st.integers(-(2**60), 2**60),
    },
)


def without_latency(predictions):
    return [(one.model, one.version, one.label, one.probabilities, one.score, one.value) for one in predictions]


def test_an_answer_for_each_row_in_their_order(server, protocol):
    with Client(server.address(protocol)) as client:
        predictions = client.predict(ROWS)

    assert [one.score for one in predictions] == [pytest.approx(each) for each in server.model(server.received[0])["score"]]
    for one in predictions:
        assert (one.model, one.version, one.value) == ("flights", 3, None)
        assert one.label == int(one.score > 0.5)
        assert one.probabilities == (pytest.approx(1 - one.score), one.score)
        assert one.probability == max(one.probabilities)
        assert 0 < one.latency < PATIENCE


def test_no_row_asks_nothing(server, protocol):
    with Client(server.address(protocol)) as client:
        assert client.predict([]) == []

    assert server.calls == []


@settings(max_examples=25)
@given(st.lists(known_rows, min_size=1, max_size=5))
def test_grpc_and_rest_send_the_same_and_answer_the_same(server, rows):
    answers = []
    for protocol in ("grpc", "rest"):
        with Client(server.address(protocol)) as client:
            answers.append(without_latency(client.predict(rows)))

    assert answers[0] == answers[1]
    assert repr(sorted(server.received[-1].items())) == repr(sorted(server.received[-2].items()))


def test_asyncio_answers_the_same(server, protocol):
    async def ask():
        async with AsyncClient(server.address(protocol)) as client:
            several = await asyncio.gather(*(client.predict(ROWS[:count]) for count in (4, 1, 2)))
            return several, await client.schema(), await client.versions()

    several, schema, versions = asyncio.run(ask())

    with Client(server.address(protocol)) as client:
        assert [without_latency(each) for each in several] == [without_latency(client.predict(ROWS[:n])) for n in (4, 1, 2)]
        assert (schema, versions) == (client.schema(), client.versions())


def test_what_the_model_takes_and_which_versions_there_are(server, protocol):
    server.versions = {2: "END", 3: "AVAILABLE"}

    with Client(server.address(protocol)) as client:
        schema = client.schema()
        assert client.versions() == {2: "END", 3: "AVAILABLE"}

    assert schema.version == 3
    assert {name: feature.dtype for name, feature in schema.features.items()} == server.features
    assert schema.outputs == {"labels": "DT_INT64", "probabilities": "DT_FLOAT", "score": "DT_FLOAT"}


def test_labels_that_are_text(server, protocol):
    server.outputs["labels"] = ("DT_STRING", 1)
    server.model = lambda columns: {
        "labels": ["spät" if protocol == "rest" else "spät".encode()],
        "probabilities": [0.25, 0.75],
    }

    with Client(server.address(protocol)) as client:
        (one,) = client.predict([{}])

    assert (one.label, one.probability, one.score) == ("spät", 0.75, None)


def test_the_probability_is_that_of_the_label_which_may_be_the_less_probable_one(server, protocol):
    server.outputs["probability"] = ("DT_FLOAT", 1)
    server.model = lambda columns: {"labels": [1], "probabilities": [0.75, 0.25], "score": [0.25], "probability": [0.25]}

    with Client(server.address(protocol)) as client:
        (one,) = client.predict([{}])

    assert (one.label, one.probability, one.score) == (1, 0.25, 0.25)


def test_regression(server, protocol):
    server.outputs = {"predictions": ("DT_FLOAT", 1)}
    server.model = lambda columns: {"predictions": [0.1] * len(columns["carrier"])}

    with Client(server.address(protocol)) as client:
        predictions = client.predict([{}, {}])

    # The 32-bit float that the model computed, however it is written.
    assert [(one.value, one.label, one.probability) for one in predictions] == [(0.10000000149011612, None, None)] * 2


def test_many_rows_are_asked_in_parts(server, protocol):
    rows = [{"distance": number} for number in range(10)]

    with Client(server.address(protocol), max_rows=4) as client:
        parts = client.predict(rows)
        assert server.calls.count("predict") == 3
    with Client(server.address(protocol)) as client:
        assert without_latency(parts) == without_latency(client.predict(rows))


def test_the_row_of_a_later_part_has_its_own_number(server, protocol):
    with Client(server.address(protocol), max_rows=4) as client, pytest.raises(FeatureError) as caught:
        client.predict([{}] * 9 + [{"distance": "far"}])

    assert caught.value.where == "row 10, feature 'distance'"


def test_the_connection_is_kept(server, protocol):
    with Client(server.address(protocol)) as client:
        for _ in range(5):
            client.predict(ROWS)

    assert len(server.peers) == 1


def test_threads_share_a_client(server, protocol):
    with Client(server.address(protocol)) as client, ThreadPoolExecutor(8) as pool:
        expected = without_latency(client.predict(ROWS))
        answers = list(pool.map(lambda _: without_latency(client.predict(ROWS)), range(40)))

    assert answers == [expected] * 40


def test_a_version_and_a_label_can_be_asked(server, protocol):
    server.versions[4] = "AVAILABLE"

    found = []
    for suffix in ("", "/versions/3", "/labels/stable"):
        with Client(server.address(protocol, suffix)) as client:
            found.append(client.predict([{}])[0].version)

    assert found == [4, 3, 3]


def test_a_new_version_answers_as_soon_as_it_is_there(server, protocol):
    with Client(server.address(protocol)) as client:
        before = client.predict(ROWS)
        server.versions = {4: "AVAILABLE"}
        after = client.predict(ROWS)

    assert {one.version for one in before} == {3}
    assert {one.version for one in after} == {4}


def test_a_version_that_goes_between_two_questions(server, protocol, monkeypatch):
    """The client asks what the model takes, and then for predictions: meanwhile another version takes over."""
    describe = server.metadata

    def describe_and_go(spec):
        answer = describe(spec)
        server.versions = {4: "AVAILABLE"}
        return answer

    monkeypatch.setattr(server, "metadata", describe_and_go)
    with Client(server.address(protocol)) as client:
        assert client.predict([{}])[0].version == 4


def test_a_new_version_may_have_other_features(server, protocol):
    with Client(server.address(protocol)) as client:
        client.predict([{}])
        server.versions, server.features["wind"] = {4: "AVAILABLE"}, "DT_FLOAT"
        known = client.predict([{}])
        server.versions = {5: "AVAILABLE"}
        del server.features["wind"]
        fewer = client.predict([{}])
        server.versions, server.features["rain"] = {6: "AVAILABLE"}, "DT_FLOAT"
        new = client.predict([{"rain": 1.5}])

    assert [each[0].version for each in (known, fewer, new)] == [4, 5, 6]


@pytest.mark.parametrize("failures", [1, 4])
def test_a_server_that_is_unavailable_for_a_moment_is_asked_again(server, protocol, failures):
    with Client(server.address(protocol)) as client:
        client.predict([{}])
        server.faults.extend([AWAY] * failures)
        assert len(client.predict(ROWS)) == 4


def test_a_server_that_stays_unavailable_is_given_up(server, protocol):
    server.faults.extend([AWAY] * 100)

    with Client(server.address(protocol)) as client, pytest.raises(ServerAwayError) as caught:
        client.predict([{}])

    assert len(server.calls) == 5
    assert caught.value.seen == "one moment"


def test_asyncio_asks_again_too(server, protocol):
    async def ask():
        async with AsyncClient(server.address(protocol)) as client:
            server.faults.extend([AWAY] * 3)
            return await client.predict([{}])

    assert len(asyncio.run(ask())) == 1


def test_a_server_that_was_restarted_is_found_again(server, protocol):
    with Client(server.address(protocol)) as client:
        client.predict([{}])
        server.stop()
        again = ModelServer(server.grpc_port, server.rest_port)
        try:
            assert client.predict([{}])[0].version == 3
        finally:
            again.stop()


def test_a_server_that_ends_in_mid_request(server, protocol):
    server.seconds = 2 * PATIENCE

    with Client(server.address(protocol), timeout=PATIENCE) as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.predict, [{}])
        wait_until(lambda: "predict" in server.calls, "the request")
        server.stop()
        with pytest.raises(ServerAwayError):
            asked.result(PATIENCE)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_nothing_listens(protocol):
    address = free_address(protocol)

    started = time.monotonic()
    with Client(address, timeout=2 * PATIENCE) as client, pytest.raises(ServerAwayError) as caught:
        client.predict([{}])
    assert time.monotonic() - started < PATIENCE

    assert caught.value.where == address
    assert "conveyor serve" in caught.value.fix
    assert caught.value.seen


def test_nothing_listens_for_asyncio_either():
    async def ask(address):
        async with AsyncClient(address, timeout=PATIENCE) as client:
            await client.predict([{}])

    for protocol in ("grpc", "rest"):
        with pytest.raises(ServerAwayError):
            asyncio.run(ask(free_address(protocol)))


def test_a_slow_server_is_given_up_at_the_deadline(server, protocol):
    with Client(server.address(protocol)) as client:
        client.predict([{}])
        server.seconds = 2 * PATIENCE
        started = time.monotonic()
        with pytest.raises(DeadlineError) as caught:
            client.predict([{}], timeout=0.3)

    assert 0.2 < time.monotonic() - started < PATIENCE
    assert caught.value.expected == "an answer within 0.3 s"
    assert caught.value.where == server.address(protocol)


def test_the_deadline_is_for_all_parts_of_a_call(server, protocol):
    server.seconds = 0.2

    with Client(server.address(protocol), max_rows=1, timeout=0.7) as client, pytest.raises(DeadlineError):
        client.predict([{}] * 20)

    assert server.calls.count("predict") <= 4


def test_the_deadline_holds_for_asyncio(server, protocol):
    server.seconds = 2 * PATIENCE

    async def ask():
        async with AsyncClient(server.address(protocol), timeout=0.3) as client:
            await client.predict([{}])

    started = time.monotonic()
    with pytest.raises(DeadlineError):
        asyncio.run(ask())
    assert time.monotonic() - started < PATIENCE


def test_no_attempt_is_made_behind_the_deadline(server, protocol):
    server.faults.extend([AWAY] * 100)

    with Client(server.address(protocol), timeout=0.0) as client, pytest.raises(DeadlineError):
        client.predict([{}])

    assert server.calls == []


def test_an_unknown_model(server, protocol):
    address = server.address(protocol).replace("flights", "flihgts")

    with Client(address) as client, pytest.raises(UnknownModelError) as caught:
        client.predict([{}])

    assert "'flihgts'" in caught.value.what
    assert "conveyor models" in caught.value.fix


@pytest.mark.parametrize("suffix", ["/versions/7", "/labels/canary"])
def test_an_unknown_version_or_label_is_told_with_those_that_are_there(server, protocol, suffix):
    with Client(server.address(protocol, suffix)) as client, pytest.raises(UnknownModelError) as caught:
        client.predict([{}])

    assert ("version 7" if "7" in suffix else "'canary'") in caught.value.what
    assert "version 3 (AVAILABLE)" in caught.value.expected
    assert server.address(protocol, "/versions/3") in caught.value.fix
    assert isinstance(caught.value, UsageError)


def test_a_server_that_does_not_say_what_is_there(server, protocol, monkeypatch):
    def fail(spec):
        raise RefusalError(grpc.StatusCode.INTERNAL, "out of luck")

    monkeypatch.setattr(server, "status", fail)
    with Client(server.address(protocol, "/versions/7")) as client, pytest.raises(UnknownModelError) as caught:
        client.predict([{}])

    assert "versions/7" in caught.value.what


def test_an_answer_that_is_not_of_the_protocol(server):
    server.model = lambda columns: {"labels": [0], "probabilities": [1e300, 0], "score": [0]}

    with Client(server.address("rest")) as client, pytest.raises(ServingError) as caught:
        client.predict([{}])

    assert "outputs" in caught.value.seen


def test_a_refusal_of_the_server_is_passed_on(server, protocol):
    def refuse(columns):
        raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "distance must be positive")

    server.model = refuse

    with Client(server.address(protocol)) as client, pytest.raises(RejectedError) as caught:
        client.predict([{}])

    assert caught.value.seen == "distance must be positive"
    assert isinstance(caught.value, DataError)


def test_a_failure_of_the_server_is_named(server, protocol):
    server.faults.append(RefusalError(grpc.StatusCode.INTERNAL, "out of luck"))

    with Client(server.address(protocol)) as client, pytest.raises(ServingError) as caught:
        client.predict([{}])

    assert "out of luck" in caught.value.seen
    assert server.calls == ["metadata"]


def test_another_port_than_the_protocols(server):
    """gRPC at the REST port, and the other way round."""
    with Client(f"grpc://127.0.0.1:{server.rest_port}/flights") as client, pytest.raises(ServingError):
        client.predict([{}])
    with Client(f"http://127.0.0.1:{server.grpc_port}/v1/models/flights") as client, pytest.raises(ServingError):
        client.predict([{}])


def test_something_else_that_answers_http(server):
    with Client(f"http://127.0.0.1:{server.rest_port}/docs/v1/models/flights") as client, pytest.raises(ServingError) as caught:
        client.predict([{}])

    assert "not a model server" in caught.value.what
    assert "HTTP 404: Not found" in caught.value.seen


def test_a_model_with_other_outputs(server, protocol):
    server.outputs = {"logits": ("DT_FLOAT", 1)}
    server.model = lambda columns: {"logits": [1.0]}

    with Client(server.address(protocol)) as client, pytest.raises(ServingError) as caught:
        client.predict([{}])

    assert "`labels` and `probabilities`, or `predictions`" in caught.value.expected
    assert caught.value.seen == "logits"


def test_a_model_that_does_not_answer_every_row(server, protocol):
    server.model = lambda columns: {"labels": [0], "probabilities": [0.5, 0.5]}

    with Client(server.address(protocol)) as client, pytest.raises(ServingError) as caught:
        client.predict([{}, {}])

    assert "did not answer every row" in caught.value.what


def test_a_model_with_features_of_another_type(server, protocol):
    server.features["distance"] = "DT_DOUBLE"

    with Client(server.address(protocol)) as client, pytest.raises(ServingError) as caught:
        client.predict([{}])

    assert "'distance'" in caught.value.where
    assert "DT_DOUBLE" in caught.value.seen


def test_no_call_waits_for_another(server, protocol):
    """A slow call does not hold up a quick one on the same client."""
    quick, goes_on = server.model, threading.Event()

    def slow(columns):
        server.model = quick
        assert goes_on.wait(PATIENCE)
        return quick(columns)

    with Client(server.address(protocol), timeout=PATIENCE) as client, ThreadPoolExecutor(1) as pool:
        server.model = slow
        asked = pool.submit(client.predict, [{}])
        wait_until(lambda: server.model is quick, "the slow call")
        assert len(client.predict([{}])) == 1
        assert not asked.done()
        goes_on.set()
        assert len(asked.result()) == 1


@pytest.fixture(params=["head", "body"])
def trickle(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that begins an answer late, or sends it byte by byte: no wait for it is long."""
    stopped = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(4096)
            stopped.wait(0.3)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            if request.param == "head":
                stopped.wait(0.3)
                connection.sendall(b" " * 1000)
            while not stopped.wait(0.05):
                connection.sendall(b" ")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/models/flights"
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)


def test_an_answer_that_comes_bit_by_bit_has_the_deadline_of_the_whole_call(trickle):
    started = time.monotonic()
    with Client(trickle, timeout=0.5) as client, pytest.raises(DeadlineError):
        client.schema()
    assert time.monotonic() - started < PATIENCE


def test_so_it_has_for_asyncio(trickle):
    async def ask():
        async with AsyncClient(trickle, timeout=0.5) as client:
            await client.schema()

    with pytest.raises(DeadlineError):
        asyncio.run(asyncio.wait_for(ask(), PATIENCE))
