"""`conveyor image`: what it takes from the configuration, and what it says."""

from __future__ import annotations

import pytest

from pipeline.cli import main as command_line
from pipeline.cluster import image
from pipeline.util import checkout

CONFIG = str(checkout.ROOT / "examples" / "flights" / "pipeline.yaml")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process; returns its exit code, stdout and stderr."""

    def _run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main(("image", *arguments))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return _run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What would be asked of Docker and kind, which are not needed here."""
    asked: list[tuple] = []

    def _answer(action: str, revision: str):
        def _do(name, *arguments, **options):
            asked.append((action, name, *(each for each in arguments if isinstance(each, str)), *options.items()))
            return image.Image(name, 2_754_000_000, "0.1.0", revision, "sha256:4f1c" if action == "push" else "")

        return _do

    monkeypatch.setattr(image, "build", _answer("build", 40 * "a" + "-dirty"))
    monkeypatch.setattr(image, "load", _answer("load", 40 * "a"))
    monkeypatch.setattr(image, "push", _answer("push", 40 * "a"))
    return asked


def test_build_reports_size_and_revision(run, asked) -> None:
    code, out, _ = run("build", CONFIG, "--build-arg", "BASE_IMAGE=debian:13", "--network", "host")

    assert code == 0
    assert asked == [("build", "conveyor:0.1.0", ("build_arguments", ["BASE_IMAGE=debian:13"]), ("network", "host"))]
    assert out.startswith("Built conveyor:0.1.0: 2.75 GB unpacked, version 0.1.0, revision aaaaaaaaaaaa and changes")
    assert out.endswith("Next: conveyor image load\n")


def test_build_for_a_cluster_elsewhere_is_followed_by_a_push(run, asked) -> None:
    _, out, _ = run("build", CONFIG, "--set", "kubeflow.context=production", "--set", "kubeflow.image=registry/conveyor:2")

    assert asked[0][:2] == ("build", "registry/conveyor:2")
    assert out.endswith("Next: conveyor image push\n")


def test_load_takes_image_and_cluster_from_the_configuration(run, asked) -> None:
    code, out, _ = run("load", CONFIG)

    assert code == 0
    assert asked == [("load", "conveyor:0.1.0", "kind-conveyor")]
    assert out.startswith("Loaded conveyor:0.1.0: 2.75 GB unpacked, version 0.1.0, revision aaaaaaaaaaaa\n")


def test_push_takes_the_image_from_the_configuration(run, asked) -> None:
    code, out, _ = run("push", CONFIG, "--set", "kubeflow.image=registry/conveyor:2")

    assert code == 0
    assert asked == [("push", "registry/conveyor:2")]
    assert out.startswith("Pushed registry/conveyor:2")
    assert "kubeflow.image: registry/conveyor:2@sha256:4f1c\nNext: conveyor submit" in out


@pytest.mark.parametrize("command", ["build", "load", "push"])
def test_a_name_that_tells_no_build_is_a_configuration_error(run, command: str) -> None:
    code, out, err = run(command, CONFIG, "--set", "kubeflow.image=conveyor:latest")

    assert (code, out) == (2, "")
    assert "Configuration error: The image needs a tag" in err
    assert "fix       For example: kubeflow.image: conveyor:0.1.0" in err
