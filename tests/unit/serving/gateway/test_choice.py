"""A caller that asks for a version, and the verdict for other programs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.config import Access
from serving.gateway.access import Authenticator, Caller, new_key
from tests.fakes.model_server import ModelServer
from tests.fakes.waiting import wait_until
from tests.unit.serving.gateway.conftest import ROW, Client, Start, predict


@pytest.fixture
def two_versions(server: ModelServer) -> ModelServer:
    server.versions, server.labels = {3: "AVAILABLE", 4: "AVAILABLE"}, {"stable": 3, "canary": 4}
    return server


def answered(gateway: Client, version: str) -> int:
    response = predict(gateway, ROW, **{"X-Conveyor-Version": version})
    assert response.status_code == 200, response.text
    return int(response.json()["predictions"][0]["model_version"])


@pytest.mark.usefixtures("two_versions")
class TestHeader:
    def test_by_default_nobody_may_choose(self, start: Start, rollout: Callable[..., None]) -> None:
        rollout(stable=3, canary=4, traffic=1)
        with start() as gateway:
            response = predict(gateway, ROW, **{"X-Conveyor-Version": "canary"})
        assert response.status_code == 403
        assert "access.choose_version" in response.json()["title"] + response.json().get("detail", "")

    def test_who_may_gets_the_version(self, start: Start, rollout: Callable[..., None]) -> None:
        rollout(stable=3, canary=4, traffic=1)
        with start(access={"choose_version": ["*"]}) as gateway:
            assert {name: answered(gateway, name) for name in ("stable", "3", "canary", "4")} == {
                "stable": 3,
                "3": 3,
                "canary": 4,
                "4": 4,
            }
            refused = predict(gateway, ROW, **{"X-Conveyor-Version": "5"})
            assert refused.status_code == 422
            assert "stable 3, canary 4 at 1 %" in refused.text

    def test_a_key_may_and_another_may_not(self, start: Start, rollout: Callable[..., None]) -> None:
        rollout(stable=3, canary=4, traffic=1)
        keys = {name: new_key() for name in ("tester", "checkout")}
        access = {"api_keys": {name: {"sha256": each[1]} for name, each in keys.items()}, "choose_version": ["tester"]}
        with start(access=access) as gateway:
            codes = {
                name: predict(gateway, ROW, **{"X-API-Key": key, "X-Conveyor-Version": "canary"}).status_code
                for name, (key, _) in keys.items()
            }
        assert codes == {"tester": 200, "checkout": 403}

    def test_a_token_with_the_name_of_a_key_may_not(self) -> None:
        key = {"sha256": new_key()[1]}
        oidc = {"issuer": "https://login.example.com", "audience": "conveyor"}
        access = {"api_keys": {"tester": key}, "oidc": oidc, "choose_version": ["tester", "ada"]}
        may_choose = Authenticator(Access.model_validate(access)).may_choose
        callers = {(name, kind): Caller(name, None, kind) for name in ("tester", "ada") for kind in ("key", "token")}
        may = {each: may_choose(caller) for each, caller in callers.items()}
        assert [each for each, allowed in may.items() if allowed] == [("tester", "key"), ("ada", "token")]

    def test_a_shadow_can_be_tried_and_is_not_asked_twice(
        self, start: Start, rollout: Callable[..., None], two_versions: ModelServer
    ) -> None:
        rollout(stable=3, canary=4, shadow=True)
        with start(access={"choose_version": ["*"]}) as gateway:
            assert answered(gateway, "shadow") == answered(gateway, "4") == 4
            assert "gateway_shadow_predictions_total{" not in gateway.get("/metrics").text

    def test_without_a_canary_the_stable_version_is_there(self, start: Start, rollout: Callable[..., None]) -> None:
        rollout(stable=3)
        with start(access={"choose_version": ["*"]}) as gateway:
            assert answered(gateway, "stable") == answered(gateway, "3") == 3
            assert predict(gateway, ROW, **{"X-Conveyor-Version": "canary"}).status_code == 422

    def test_without_a_rollout_the_version_that_serves_has_a_number(self, start: Start) -> None:
        with start(access={"choose_version": ["*"]}) as gateway:
            assert answered(gateway, "stable") == answered(gateway, "4") == 4
            assert {predict(gateway, ROW, **{"X-Conveyor-Version": name}).status_code for name in ("3", "None")} == {422}


@pytest.mark.usefixtures("two_versions")
class TestVerdict:
    def test_without_a_canary_there_is_none(self, start: Start, rollout: Callable[..., None]) -> None:
        rollout(stable=3)
        with start() as gateway:
            found = gateway.get("/rollout").json()
        assert (found["verdict"], found["stable"], found["canary"], found["checks"]) == ("none", 3, None, [])

    def test_it_is_that_of_the_rows_since_the_share_began(self, start: Start, rollout: Callable[..., None]) -> None:
        rollout(stable=3)
        with start() as gateway:
            for _ in range(5):
                predict(gateway, ROW)
            rollout(stable=3, canary=4, traffic=50)
            wait_until(lambda: gateway.get("/rollout").json()["traffic"] == 50, "a change of the traffic")
            for _ in range(40):
                predict(gateway, ROW)
            found = gateway.get("/rollout").json()
            rows = next(check for check in found["checks"] if check["name"] == "rows")
            assert int(rows["stable"]) + int(rows["canary"]) == 40
            assert found["verdict"] == "undecided"
            lenient = gateway.get("/rollout?min_rows=1").json()
            assert next(check for check in lenient["checks"] if check["name"] == "rows")["outcome"] == "pass"
