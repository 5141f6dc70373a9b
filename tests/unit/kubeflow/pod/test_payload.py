"""The compiled pipeline and its configuration travel as arguments, and what does not suit is found out."""

from __future__ import annotations

import random

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError, UsageError
from pipeline.kubeflow.pod.payload import LIMIT, Payload, code_digest
from pipeline.util import code

CONFIG = PipelineConfig(name="houses", label="price", data={"input": "/conveyor/houses.csv"}, workspace="/conveyor")


def test_what_was_packed_is_read():
    sent = Payload(b"compiled", CONFIG, code_digest())
    _, ir, _, config = sent.arguments()

    received = Payload.read(ir, config)

    assert (received.ir, received.code) == (sent.ir, sent.code)
    assert received.config.effective() == CONFIG.effective()


def test_packing_twice_gives_the_same_arguments():
    assert Payload(b"compiled", CONFIG, "digest").arguments() == Payload(b"compiled", CONFIG, "digest").arguments()


def test_arguments_have_no_braces_for_argo_to_fill_in():
    assert "{" not in "".join(Payload(b"{{workflow.name}}", CONFIG, "digest").arguments())


def test_what_a_cluster_cannot_carry_is_refused():
    noise = random.Random(0).randbytes(LIMIT)

    with pytest.raises(ConfigError, match="too large") as raised:
        Payload(noise, CONFIG, "digest").arguments()

    assert str(LIMIT) in raised.value.expected


def test_an_image_with_other_code_is_refused():
    with pytest.raises(UsageError, match="other code than the image holds"):
        Payload(b"", CONFIG, "another digest").require_same_code()


def test_the_digest_covers_what_pods_run_and_nothing_of_the_laptop(monkeypatch):
    covered = []
    monkeypatch.setattr(code, "digest", lambda *modules: covered.extend(code.closure(*modules)))

    code_digest()

    assert {"pipeline.parameters", "pipeline.runs.execute", "pipeline.training.trainer"} <= set(covered)
    assert not [module for module in covered if module.startswith(("pipeline.cli", "pipeline.local", "serving"))]


@pytest.mark.parametrize("argument", ["", "not base64!", "aGVsbG8=", Payload(b"x", CONFIG, "d").arguments()[1]])
def test_arguments_of_something_else_are_refused(argument):
    with pytest.raises(UsageError, match="not those of a compiled package"):
        Payload.read(Payload(b"x", CONFIG, "d").arguments()[1], argument)
