"""What a gateway is started with: on a laptop by the pipeline's configuration, in a pod by a file of its own."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.config import Gateway, PipelineConfig
from pipeline.errors import ConfigError
from serving.gateway.settings import from_config, read_settings

CONFIG = {"name": "houses", "label": "price", "data": {"input": "houses.csv"}}


def config(tmp_path, **sections):
    content = {**CONFIG, "workspace": str(tmp_path / "workspace"), **sections}
    return PipelineConfig.model_validate(content, context={"folder": tmp_path})


def settings(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return read_settings(path)


class TestOfAConfiguration:
    def test_the_defaults_are_of_the_pipeline(self, tmp_path):
        gateway = from_config(config(tmp_path))

        assert gateway.upstream.stable == "grpc://localhost:8500/houses"
        assert gateway.rollout == str(tmp_path / "workspace/serving/houses/rollout.json")
        assert gateway.log.folder == str(tmp_path / "workspace/predictions/houses")
        assert gateway.feature_schema is None

    def test_the_curated_schema_is_taken(self, tmp_path):
        assert from_config(config(tmp_path, schema={"path": "a.pbtxt"})).feature_schema == str(tmp_path / "a.pbtxt")
        chosen = from_config(config(tmp_path, schema={"path": "a.pbtxt"}, gateway={"feature_schema": "b.pbtxt"}))
        assert chosen.feature_schema == str(tmp_path / "b.pbtxt")


class TestOfAPod:
    def test_a_file_has_the_section_alone(self, tmp_path):
        gateway = settings(
            tmp_path,
            """
            host: 0.0.0.0
            access: {open: true}
            upstream: {stable: grpc://serving:8500/houses, canary: grpc://canary:8500/houses}
            rollout: /etc/rollout/rollout.json
            feature_schema: schema.pbtxt
            log: {folder: logs, exclude: [name]}
            """,
        )

        assert (gateway.host, gateway.port) == ("0.0.0.0", 8088)
        assert gateway.upstream.canary == "grpc://canary:8500/houses"
        assert gateway.rollout == "/etc/rollout/rollout.json"
        assert gateway.feature_schema == str(tmp_path / "schema.pbtxt")
        assert gateway.log.folder == str(tmp_path / "logs")

    def test_without_a_workspace_there_is_no_log_and_no_rollout(self, tmp_path):
        gateway = settings(tmp_path, "upstream: {stable: grpc://serving:8500/houses}")

        assert (gateway.rollout, gateway.log.folder) == (None, None)

    @pytest.mark.parametrize(
        ("text", "seen"),
        [
            ("upstream: [", "while parsing"),
            ("hots: x", "hots: Extra inputs"),
            ("upstream: {stable: grpc://s/x}\nport: 99999", "port: Input should be less than"),
            ("upstream: {stable: grpc://s/x}\naccess: {api_keys: {a: {sha256: secret}}}", "access.api_keys.a.sha256"),
            ("- 1", "valid dictionary"),
            ("{}", "{name}"),
            ("upstream: {stable: grpc://s/x}\nlog: {folder: '{workspace}/x'}", "{workspace}/x"),
        ],
    )
    def test_a_file_that_is_wrong(self, tmp_path, text, seen):
        with pytest.raises(ConfigError) as raised:
            settings(tmp_path, text)

        assert seen in raised.value.seen
        assert raised.value.where.endswith("settings.yaml")

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_settings(tmp_path / "settings.yaml")

    def test_a_schema_that_is_none(self, settings, tmp_path, start):
        (tmp_path / "schema.pbtxt").write_text("feature { nam: 1 }")

        with pytest.raises(ConfigError, match="The schema cannot be parsed"):
            start()


@pytest.mark.parametrize(
    "fields",
    [
        {"upstream": {"stable": "localhost:8500"}},
        {"access": {"rate_limit": "many"}},
        {"access": {"rate_limit": "0/minute"}},
        {"access": {"oidc": {"issuer": "login.example.com", "audience": "x"}}},
        {"cache": {"redis": "redis://user:password@redis:6379"}},
        {"log": {"sample": 2}},
        {"batching": {"max_rows": 0}},
    ],
)
def test_a_field_that_is_wrong(fields):
    with pytest.raises(ValidationError):
        Gateway.model_validate(fields)


class TestOtherMachines:
    """Whom a gateway lets in that listens on more than this machine."""

    KEY = "access: {api_keys: {shop: {sha256: '" + "0" * 64 + "'}}}"
    PROVIDER = "access: {oidc: {issuer: 'https://login.example.com', audience: x}}"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "host: '::1'",
            "host: localhost",
            "host: 0.0.0.0\naccess: {open: true}",
            f"host: 0.0.0.0\n{KEY}",
            f"host: 0.0.0.0\n{PROVIDER}",
        ],
    )
    def test_callers_are_known_or_on_this_machine(self, tmp_path, text):
        path = tmp_path / "settings.yaml"
        path.write_text(f"upstream: {{stable: 'grpc://server:8500/m'}}\n{text}\n")

        assert read_settings(path).upstream.stable == "grpc://server:8500/m"

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gateway"])
    def test_or_the_settings_say_that_everybody_may_call(self, tmp_path, host):
        path = tmp_path / "settings.yaml"
        path.write_text(f"upstream: {{stable: 'grpc://server:8500/m'}}\nhost: '{host}'\n")

        with pytest.raises(ConfigError, match=r"Anybody could call the gateway[\s\S]*set access\.open to true"):
            read_settings(path)
