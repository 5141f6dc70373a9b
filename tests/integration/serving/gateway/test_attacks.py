"""No small request takes the gateway down."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fakes.model_server import ModelServer
from tests.integration.serving.attacks import HttpAttacker, attack
from tests.integration.serving.gateway.running import ROW, gateway
from tests.integration.serving.watched import Watched

SEED = 20261129


def test_it_bears_random_attacks(tmp_path: Path) -> None:
    server, chance = ModelServer(), random.Random(SEED)
    with gateway(tmp_path, server.address("grpc")) as running:
        watched = Watched(running.process.pid, lambda: running.http.get("/healthz").raise_for_status())
        attacker = HttpAttacker(int(running.url.rpartition(":")[2]), "/v1/predict", {"rows": [ROW]}, chance)
        done = attack([attacker], watched, 4.0, chance)
        attacker.close()

        assert done.total() >= 10
        assert running.predict(ROW).status_code == 200
        assert "Traceback" not in running.log.read_text()
    server.stop()
