"""Logging in to a Kubeflow that asks who is calling, over HTTPS: its gateway checks tokens that expire."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import main as command_line
from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, UsageError
from pipeline.kubeflow.api_errors import ApiError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.credentials import FileCredentials
from pipeline.kubeflow.pod.termination import Termination
from pipeline.kubeflow.pod_config import without_folders
from pipeline.kubeflow.schedules import cron_trigger
from pipeline.runs.status import RunState
from tests.fakes.identity import COOKIE, LOG_IN_PAGE, Identity, authority
from tests.fakes.kfp_server import KfpServer, serve
from tests.fakes.kubectl import FakeKubectl

ADA = "ada@example.com"
Client = Callable[..., KubeflowClient]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The certificate of an authority that nobody has heard of, and a server's context with its key."""
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(tls: tuple[Path, Any]) -> Iterator[KfpServer]:
    """Kubeflow with profiles: Ada may work in `team`."""
    with serve(tls[1]) as state:
        state.identity = Identity()
        yield state


@pytest.fixture
def identity(server: KfpServer) -> Identity:
    assert server.identity is not None
    return server.identity


@pytest.fixture
def client_of(server: KfpServer, tls: tuple[Path, Any]) -> Client:
    """A client of the server, with fields of the section `kubeflow`."""

    def make(**kubeflow: Any) -> KubeflowClient:
        settings = {"host": server.host, "ca_file": str(tls[0]), "namespace": "team", **kubeflow}
        config = {"name": "flights", "label": "late", "data": {"input": "a.csv"}, "kubeflow": settings}
        return KubeflowClient(PipelineConfig.model_validate(config))

    return make


@pytest.fixture
def token_file(tmp_path: Path, identity: Identity) -> Path:
    path = tmp_path / "token"
    path.write_text(identity.token() + "\n")
    return path


@pytest.fixture
def printed(tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes a command that prints what is in the file `output` of the folder, and adds a line to `runs`."""

    def command(text: str) -> list[str]:
        (tmp_path / "output").write_text(text)
        script = f"open({str(tmp_path / 'runs')!r}, 'a').write('x\\n'); print(open({str(tmp_path / 'output')!r}).read())"
        return [sys.executable, "-c", script]

    return command


def runs_of(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


class TestWithAToken:
    def test_everything_is_made_in_the_profile(
        self, client_of: Client, server: KfpServer, identity: Identity, token_file: Path, package: str
    ) -> None:
        client = client_of(auth={"token_file": str(token_file)})

        version = client.upload(package)
        client.start_run(version, {}, "flights-1", "")
        client.create_schedule(version, {}, cron_trigger("@daily"), "")

        (pipeline,), (experiment,), (schedule,) = (
            each.values() for each in (server.pipelines, server.experiments, server.schedules)
        )
        assert pipeline["namespace"] == experiment["namespace"] == "team"
        assert [each.recurring_run_id for each in client.schedules()] == [schedule["recurring_run_id"]]
        assert len(list(client.runs())) == 1
        assert set(identity.seen) == {ADA}

    def test_a_token_that_was_replaced_is_read_again(self, client_of: Client, identity: Identity, token_file: Path) -> None:
        client = client_of(auth={"token_file": str(token_file)})
        assert client.pipeline_id() is None
        identity.refused.add(token_file.read_text().strip())

        with pytest.raises(ApiError, match="does not accept the log-in"):
            client.pipeline_id()
        token_file.write_text(identity.token())

        assert client.pipeline_id() is None

    def test_a_token_that_is_replaced_while_it_is_refused_costs_no_error(
        self, client_of: Client, identity: Identity, token_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        check = identity.check
        identity.refused.add(token_file.read_text().strip())

        def renewed_meanwhile(*call: Any) -> tuple[int, str] | None:
            answer = check(*call)
            if answer:
                token_file.write_text(identity.token())
            return answer

        monkeypatch.setattr(identity, "check", renewed_meanwhile)

        assert client_of(auth={"token_file": str(token_file)}).pipeline_id() is None

    def test_an_expired_one_is_told_with_what_it_says_of_itself_and_not_itself(
        self, client_of: Client, identity: Identity, token_file: Path
    ) -> None:
        token = identity.token(seconds=-3600)
        token_file.write_text(token)

        with pytest.raises(ApiError) as caught:
            client_of(auth={"token_file": str(token_file)}).pipeline_id()

        assert "kubeflow.auth.token_file" in caught.value.where
        assert (
            "401 Jwt is expired\nthe token is of ada@example.com for kubeflow-oidc-authservice expired 20" in caught.value.seen
        )
        assert caught.value.fix == f"Write a new token into the file: {token_file}"
        assert token.rpartition(".")[2] not in str(caught.value)

    def test_one_for_another_audience_is_told_as_such(self, client_of: Client, identity: Identity, token_file: Path) -> None:
        token_file.write_text(identity.token(audience="grafana"))

        with pytest.raises(ApiError, match="does not accept the log-in") as caught:
            client_of(auth={"token_file": str(token_file)}).pipeline_id()

        assert "for grafana valid until" in caught.value.seen

    def test_a_profile_of_others_is_closed(self, client_of: Client, token_file: Path) -> None:
        with pytest.raises(ApiError, match="does not let this account") as caught:
            client_of(auth={"token_file": str(token_file)}, namespace="others").pipeline_id()

        assert "not authorized" in caught.value.seen
        assert "owner of the profile others" in caught.value.fix

    def test_the_pods_own_token(
        self, client_of: Client, token_file: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token_file))

        assert client_of(auth={"service_account": True}).pipeline_id() is None
        assert identity.seen == [ADA]

    def test_outside_of_a_pod_there_is_none(self, client_of: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "/nowhere/token")

        with pytest.raises(UsageError, match="cannot be read") as caught:
            client_of(auth={"service_account": True}).pipeline_id()

        assert "pipelines.kubeflow.org" in caught.value.fix


class TestWithACommand:
    def test_it_runs_once_for_a_token_that_lasts(
        self, client_of: Client, identity: Identity, printed: Callable[[str], list[str]], tmp_path: Path
    ) -> None:
        client = client_of(auth={"command": printed(identity.token())})

        for _ in range(3):
            assert client.pipeline_id() is None

        assert runs_of(tmp_path) == 1

    def test_it_runs_again_when_the_token_is_about_to_expire(
        self, client_of: Client, identity: Identity, printed: Callable[[str], list[str]], tmp_path: Path
    ) -> None:
        client = client_of(auth={"command": printed(identity.token(seconds=50))})

        for _ in range(3):
            assert client.pipeline_id() is None

        assert runs_of(tmp_path) == 3

    def test_it_runs_again_when_the_token_is_refused(
        self, client_of: Client, identity: Identity, printed: Callable[[str], list[str]], tmp_path: Path
    ) -> None:
        token = identity.token()
        client = client_of(auth={"command": printed(token)})
        assert client.pipeline_id() is None
        identity.refused.add(token)
        printed(identity.token())

        assert client.pipeline_id() is None
        assert runs_of(tmp_path) == 2

    @pytest.mark.parametrize(("until", "runs"), [("2999-01-01T00:00:00Z", 1), ("2020-01-01T00:00:00Z", 2)])
    def test_it_may_print_what_kubectls_plugins_print(
        self,
        client_of: Client,
        identity: Identity,
        printed: Callable[[str], list[str]],
        tmp_path: Path,
        until: str,
        runs: int,
    ) -> None:
        answer = {"kind": "ExecCredential", "status": {"token": identity.token(), "expirationTimestamp": until}}
        client = client_of(auth={"command": printed(json.dumps(answer))})

        for _ in range(2):
            assert client.pipeline_id() is None

        assert runs_of(tmp_path) == runs

    @pytest.mark.parametrize(
        "output",
        ["", "two words", "<html>", '{"status": {}}', '{"status": null}', "{", "[]\n[]", '{"status": {"token": "a b"}}'],
    )
    def test_something_else_is_told_without_showing_it(
        self, client_of: Client, printed: Callable[[str], list[str]], output: str
    ) -> None:
        with pytest.raises(ConveyorError) as caught:
            client_of(auth={"command": printed(output)}).pipeline_id()

        if output == "<html>":  # A word: the server decides.
            assert isinstance(caught.value, ApiError)
        else:
            assert "prints something else than a token" in caught.value.what
            assert "two words" not in str(caught.value)

    @pytest.mark.parametrize(
        ("command", "kind", "what"),
        [
            (["/nowhere/login"], UsageError, "cannot be started"),
            ([sys.executable, "-c", "raise SystemExit(3)"], ConveyorError, "failed"),
        ],
    )
    def test_a_command_that_does_not_work(
        self, client_of: Client, command: list[str], kind: type[ConveyorError], what: str
    ) -> None:
        with pytest.raises(kind, match=what) as caught:
            client_of(auth={"command": command}).pipeline_id()

        assert caught.value.where == "kubeflow.auth.command"
        assert caught.value.fix


class TestWithACookie:
    def test_it_is_read_for_each_request(self, client_of: Client, identity: Identity, tmp_path: Path) -> None:
        identity.sessions = {"abc=": ADA, "def": ADA}
        path = tmp_path / "cookie"
        client = client_of(auth={"cookie_file": str(path)})
        for text in (f"{COOKIE}=abc=\n", f"Cookie: {COOKIE}=def"):
            path.write_text(text)
            assert client.pipeline_id() is None

    def test_one_that_has_expired_leads_to_the_log_in(self, client_of: Client, tmp_path: Path) -> None:
        path = tmp_path / "cookie"
        path.write_text(f"{COOKIE}=secret")

        with pytest.raises(ApiError, match="does not accept the log-in") as caught:
            client_of(auth={"cookie_file": str(path)}).pipeline_id()

        assert "in the browser" in caught.value.fix
        assert "secret" not in str(caught.value)

    def test_something_else_is_told_without_showing_it(self, client_of: Client, tmp_path: Path) -> None:
        path = tmp_path / "cookie"
        for text in ("secret", "", "secret=1\nsecret=2", "secret=\x01"):
            path.write_text(text)
            with pytest.raises(UsageError, match="holds something else") as caught:
                client_of(auth={"cookie_file": str(path)}).pipeline_id()
            assert "secret" not in str(caught.value)


class TestWithoutALogIn:
    @pytest.mark.parametrize(
        "page", [(302, ""), (401, "no token"), (403, "RBAC: access denied"), (200, LOG_IN_PAGE), (403, LOG_IN_PAGE)]
    )
    def test_what_asks_for_one_is_told_with_how_to_give_it(
        self, client_of: Client, identity: Identity, page: tuple[int, str]
    ) -> None:
        identity.page = page

        with pytest.raises(ApiError, match="asks for a log-in") as caught:
            client_of().pipeline_id()

        assert "auth: {token_file: FILE}" in caught.value.fix

    def test_the_remedy_is_one(self, client_of: Client, token_file: Path) -> None:
        with pytest.raises(ApiError):
            client_of().pipeline_id()

        assert client_of(auth={"token_file": str(token_file)}).pipeline_id() is None

    def test_the_address_of_the_dashboard_around_it(self, client_of: Client, server: KfpServer, token_file: Path) -> None:
        server.faults.append((200, "<!doctype html><title>Kubeflow Central Dashboard</title>"))

        with pytest.raises(ApiError, match="not Kubeflow Pipelines") as caught:
            client_of(auth={"token_file": str(token_file)}).pipeline_id()

        assert f"{server.host}/pipeline" in caught.value.fix


class TestCertificates:
    def test_an_authority_that_nobody_knows_is_told_with_the_field(self, client_of: Client) -> None:
        with pytest.raises(ApiError, match="certificate is not one") as caught:
            client_of(ca_file=None).pipeline_id()

        assert "self-signed" in caught.value.seen.replace(" ", "-")
        assert "kubeflow: {ca_file: FILE}" in caught.value.fix
        assert not caught.value.may_pass

    def test_a_certificate_for_another_host(self, tmp_path: Path) -> None:
        public, context = authority(tmp_path, "127.0.0.2")
        with serve(context) as server:
            settings = {"host": server.host, "ca_file": str(public)}
            config = {"name": "a", "label": "b", "data": {"input": "a.csv"}, "kubeflow": settings}
            client = KubeflowClient(PipelineConfig.model_validate(config))
            with pytest.raises(ApiError, match="certificate is not one") as caught:
                client.pipeline_id()

        assert "mismatch" in caught.value.seen
        assert "kubeflow.host" in caught.value.fix

    def test_a_server_without_any(self) -> None:
        with serve() as server:
            kubeflow = {"host": server.host.replace("http:", "https:")}
            config = {"name": "a", "label": "b", "data": {"input": "a.csv"}, "kubeflow": kubeflow}
            client = KubeflowClient(PipelineConfig.model_validate(config))
            with pytest.raises(ApiError, match="cannot be reached"):
                client.pipeline_id()

    @pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
    def test_a_file_that_is_none(self, client_of: Client, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_text(content)

        with pytest.raises(UsageError, match="authorities' certificates cannot be used") as caught:
            client_of(ca_file=str(path))

        assert str(path) in caught.value.where


class TestConfiguration:
    @pytest.mark.parametrize("auth", [{}, {"service_account": False}, {"token_file": "a", "cookie_file": "b"}])
    def test_there_is_one_way(self, auth: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="one way to log in"):
            PipelineConfig.model_validate({"name": "a", "label": "b", "data": {"input": "a.csv"}, "kubeflow": {"auth": auth}})

    def test_a_package_does_not_say_how_who_made_it_logs_in(self) -> None:
        kubeflow = {"auth": {"token_file": "/home/ada/token"}, "ca_file": "/home/ada/ca.pem"}
        config = PipelineConfig.model_validate({"name": "a", "label": "b", "data": {"input": "a.csv"}, "kubeflow": kubeflow})

        carried = without_folders(config).kubeflow

        assert (carried.auth, carried.ca_file) == (None, None)
        assert "ada" not in json.dumps(without_folders(config).model_dump(mode="json", exclude_defaults=True))


@given(st.one_of(st.text(), st.dictionaries(st.text(), st.none() | st.booleans() | st.floats() | st.integers() | st.text())))
def test_whatever_a_token_says_of_itself_is_read(tmp_path_factory: pytest.TempPathFactory, claims: Any) -> None:
    body = json.dumps({"exp": None, **claims} if isinstance(claims, dict) else claims)
    parts = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in ('{"alg": "none"}', body, "")]
    path = tmp_path_factory.getbasetemp() / "token"
    path.write_text(".".join(parts))
    credentials = FileCredentials(str(path), "field", "fix")

    credentials.header()

    assert isinstance(credentials.described(), str)


def test_the_command_line_shows_no_secret(
    server: KfpServer,
    identity: Identity,
    tls: tuple[Path, Any],
    kubectl: FakeKubectl,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.kubeflow.submission.compile_apart", lambda config: package)
    monkeypatch.setattr("pipeline.kubeflow.follow.Follower.poll_seconds", 0.0)
    server.stride = 8
    done = Termination(run_state=RunState.COMPLETE).message()
    kubectl.add(
        "onExit.finish.executor(0)", "", containerStatuses=[{"name": "main", "state": {"terminated": {"message": done}}}]
    )
    kubectl.move_to("team")
    token = identity.token()
    (tmp_path / "token").write_text(token)
    (tmp_path / "pipeline.yaml").write_text(
        f"name: flights\nlabel: late\ndata: {{input: '{{workspace}}/a-{{SPAN}}.csv'}}\nkubeflow:\n  host: {server.host}\n"
        f"  ca_file: {tls[0]}\n  namespace: team\n  image: registry/conveyor:0.1.0\n  auth: {{token_file: token}}\n"
    )
    shown = ""
    for arguments in (("submit",), ("status", "--json"), ("config", "show"), ("schedule", "--cron", "@daily")):
        with pytest.raises(SystemExit) as ended:
            command_line.main(arguments)
        output = capsys.readouterr()
        assert ended.value.code in (0, None), output.err
        shown += output.out + output.err

    assert "token_file: token" in shown
    assert token not in shown
    assert token not in json.dumps([list(server.runs.values()), list(server.versions.values())])
