"""How other programs are called: real processes, most of them a shell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from pipeline.errors import UsageError
from pipeline.util.kubectl import Kubectl
from pipeline.util.programs import ProgramError, check_program, read, require_programs, run
from tests.fakes.waiting import PATIENCE

AddProgram = Callable[[str, str], Path]


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=200)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddProgram:
    """Puts a program, as a shell script, before all others on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def add(name: str, script: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return add


def shown(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_server_that_does_not_answer_is_not_taken_for_a_context_that_is_not_there(program: AddProgram) -> None:
    program("kind", "echo 'Get \"https://127.0.0.1:6443/version\": context deadline exceeded' >&2; exit 1")
    with pytest.raises(ProgramError) as caught:
        read("kind", "get", "clusters")
    assert "does not answer" in caught.value.fix


class TestRun:
    def test_the_command_line_is_shown_as_a_shell_takes_it_and_then_what_it_writes(self, console):
        run("sh", "-c", "echo out; echo a [bold]line[/bold]", console=console)

        assert shown(console) == "$ sh -c 'echo out; echo a [bold]line[/bold]'\n  out\n  a [bold]line[/bold]\n"

    def test_input_reaches_the_program_and_is_not_shown(self, console, tmp_path):
        run("sh", "-c", f"cat > {tmp_path}/got", console=console, input="secret\n")

        assert (tmp_path / "got").read_text() == "secret\n"
        assert "secret" not in shown(console)

    def test_without_input_a_question_gets_no_answer(self, console):
        with pytest.raises(ProgramError):
            run("sh", "-c", "read answer", console=console, timeout=PATIENCE)

    def test_an_input_that_is_not_read_does_not_hide_why(self, console):
        with pytest.raises(ProgramError) as caught:
            run("sh", "-c", "echo full >&2; exit 1", console=console, input="x" * 1_000_000)

        assert caught.value.stderr == "full"

    def test_a_failure_tells_the_last_lines_and_the_mend(self, console):
        with pytest.raises(ProgramError) as caught:
            run("sh", "-c", "seq 100 >&2; exit 3", console=console, fix="try again")

        assert caught.value.what == "sh failed with exit status 3."
        assert caught.value.stderr.splitlines() == [str(number) for number in range(89, 101)]
        assert caught.value.fix == "try again"

    def test_a_program_that_takes_too_long_is_ended(self, console):
        before = set(psutil.Process().children())
        with pytest.raises(ProgramError, match=r"did not end within 0\.5 seconds"):
            run("sleep", "1000", console=console, timeout=0.5)

        assert set(psutil.Process().children()) <= before


class TestRead:
    def test_output_is_returned_and_errors_are_not(self):
        assert read("sh", "-c", "echo out; echo warning >&2") == "out\n"

    def test_a_program_that_takes_too_long_is_ended(self):
        with pytest.raises(ProgramError, match="did not end"):
            read("sleep", "30", timeout=0.2)

    def test_a_program_that_is_missing(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(UsageError, match="kubectl cannot be used") as caught:
            read("kubectl", "get", "pods")

        assert "https://kubernetes.io/docs/tasks/tools" in caught.value.fix

    def test_a_log_of_kubectl_itself_is_left_out_of_the_error(self):
        log = 'E1121 06:53:13.221641   28704 memcache.go:265] "Unhandled Error" err="refused"'

        with pytest.raises(ProgramError) as caught:
            read("sh", "-c", f"echo '{log}' >&2; echo 'The connection to the server was refused' >&2; exit 1")

        assert caught.value.stderr == "The connection to the server was refused"
        assert "conveyor cluster up" in caught.value.fix


class TestRequirePrograms:
    @pytest.mark.parametrize(
        ("name", "answer"),
        [
            ("docker", "20.10.24+dfsg1"),
            ("git", "git version 2.39.5"),
            ("kind", "kind v0.33.0-alpha+0c5e1c3e2b go1.26.1 linux/amd64"),
            ("kubectl", "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0"),
        ],
    )
    def test_supported_versions(self, program, name, answer):
        program(name, f"echo '{answer}'")

        require_programs(name)

    def test_one_whose_interpreter_is_missing_is_said_not_to_work(self, program, monkeypatch):
        path = program("kubectl", "")
        path.write_text("#!/nowhere/sh\n")
        # Nothing else on the path takes its place.
        monkeypatch.setenv("PATH", str(path.parent))

        assert not check_program("kubectl").ok
        with pytest.raises(UsageError, match="kubectl"):
            require_programs("kubectl")

    @pytest.mark.parametrize(
        ("name", "answer", "seen"),
        [
            ("docker", "19.03.15", "19.03.15, which is older than 20.10"),
            ("kind", "kind v0.9.0 go1.15.2 linux/amd64", "0.9.0, which is older than 0.32"),
            # As kubectl told it up to 1.27.
            ("kubectl", 'Client Version: version.Info{Major:"1", Minor:"20", GitVersion:"v1.20.2"}', "1.20.2"),
            ("kubectl", "none of your business", "no version in its answer"),
        ],
    )
    def test_others_are_refused_with_the_way_to_get_one(self, program, name, answer, seen):
        program(name, f"echo '{answer}'")

        with pytest.raises(UsageError, match=f"{name} cannot be used") as caught:
            require_programs(name)

        assert seen in caught.value.seen
        assert caught.value.fix


class TestKubectl:
    def test_every_call_names_the_context_and_the_namespace(self, program, console):
        program("kubectl", 'echo "$@"')

        assert Kubectl("kind-conveyor", "kubeflow", console).read("logs", "a") == (
            "--context kind-conveyor --namespace kubeflow logs a\n"
        )
        assert Kubectl("kind-conveyor", "", console).read("apply") == "--context kind-conveyor apply\n"

    def test_what_changes_something_is_shown_and_looks_are_not(self, program, console):
        program("kubectl", "exit 0")
        kubectl = Kubectl("kind-conveyor", "kubeflow", console)

        kubectl.read("get", "pods")
        kubectl.run("delete", "pod", "a")

        assert shown(console) == "$ kubectl --context kind-conveyor --namespace kubeflow delete pod a\n"

    def test_an_object_that_is_not_there_is_none(self, program, console):
        program("kubectl", "exit 0")

        assert Kubectl("kind-conveyor", "kubeflow", console).get("secret", "a") is None

    def test_objects_are_those_of_the_list(self, program, console):
        program("kubectl", """echo '{"items": [{"kind": "Pod"}]}'""")

        assert Kubectl("kind-conveyor", "kubeflow", console).objects("pods") == [{"kind": "Pod"}]

    def test_a_forwarded_port_is_open_until_the_block_is_left(self, program, console, tmp_path):
        got, pid = tmp_path / "got", tmp_path / "pid"
        program("kubectl", f'echo "$@" > {got}; echo $$ > {pid}; echo "Forwarding from 127.0.0.1:4711 -> 8500"; exec sleep 60')

        with Kubectl("kind-conveyor", "serving", console).forward("service/serving", 8500) as address:
            assert address == "127.0.0.1:4711"
            os.kill(int(pid.read_text()), 0)
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        assert got.read_text().split()[-2:] == ["service/serving", ":8500"]

    def test_a_port_that_cannot_be_forwarded(self, program, console):
        program("kubectl", 'echo "Error from server (NotFound): services \\"serving\\" not found" >&2; exit 1')

        with (
            pytest.raises(ProgramError) as caught,
            Kubectl("kind-conveyor", "serving", console).forward("service/serving", 8500),
        ):
            pytest.fail("there is nothing to reach")

        assert "NotFound" in caught.value.stderr


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not on the path: https://kubernetes.io/docs/tasks/tools")
class TestRealKubectl:
    """What the real program says without a cluster is understood."""

    @pytest.fixture
    def kubectl(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: Console) -> Kubectl:
        path = tmp_path / "config"
        path.write_text(
            """
            apiVersion: v1
            kind: Config
            clusters: [{name: nobody, cluster: {server: "https://127.0.0.1:9"}}]
            users: [{name: me, user: {token: abc}}]
            contexts: [{name: kind-conveyor, context: {cluster: nobody, user: me}}]
            """
        )
        monkeypatch.setenv("KUBECONFIG", str(path))
        return Kubectl("kind-conveyor", "kubeflow", console)

    def test_a_server_that_does_not_answer(self, kubectl):
        with pytest.raises(ProgramError) as caught:
            kubectl.get("secret", "conveyor-metadata")

        assert len(caught.value.stderr.splitlines()) == 1
        assert "conveyor cluster up" in caught.value.fix

    def test_a_context_that_is_not_there(self, kubectl, console):
        with pytest.raises(ProgramError) as caught:
            Kubectl("production", "kubeflow", console).objects("pods")

        assert "kubeflow.context" in caught.value.fix
