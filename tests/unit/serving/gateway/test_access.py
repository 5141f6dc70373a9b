"""Who may call, and how often."""

from __future__ import annotations

import datetime
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from serving.gateway import oidc
from serving.gateway.access import new_key
from serving.gateway.app import create_app
from serving.gateway.server import uvicorn_config
from tests.fakes.waiting import PATIENCE, wait_until
from tests.unit.serving.gateway.conftest import ROW, predict

AUDIENCE = "conveyor"


class TestApiKeys:
    @pytest.fixture
    def key(self):
        return new_key()

    @pytest.fixture
    def gateway(self, start, key):
        with start(access={"api_keys": {"shop": {"sha256": key[1]}}}) as gateway:
            yield gateway

    def test_a_key_lets_its_caller_in(self, gateway, key):
        assert predict(gateway, ROW, **{"X-API-Key": key[0]}).status_code == 200
        assert gateway.get("/v1/models", headers={"X-API-Key": key[0]}).status_code == 200

    @pytest.mark.parametrize("headers", [{}, {"X-API-Key": "cv_another"}, {"X-API-Key": ""}, {"Authorization": "Bearer x"}])
    def test_nobody_else_is_let_in(self, gateway, server, headers):
        response = predict(gateway, ROW, **headers)

        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert gateway.get("/v1/models", headers=headers).status_code == 401
        assert "predict" not in server.calls

    def test_the_hash_is_no_key(self, gateway, key):
        assert predict(gateway, ROW, **{"X-API-Key": key[1]}).status_code == 401

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
    def test_probes_and_the_page_are_open(self, gateway, path):
        assert gateway.get(path).status_code == 200

    def test_the_page_asks_for_a_key(self, gateway):
        page = gateway.get("/openapi.json").json()

        assert page["components"]["securitySchemes"] == {"API key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        assert page["paths"]["/v1/predict"]["post"]["security"] == [{"API key": []}]

    def test_keys_are_long_and_differ(self):
        keys = {new_key()[0] for _ in range(10)}

        assert len(keys) == 10
        assert min(map(len, keys)) > 40


class Provider:
    """An OpenID Connect provider: it has keys, publishes them, and signs tokens."""

    def __init__(self) -> None:
        self.keys = {"first": rsa.generate_private_key(65537, 2048)}
        self.fetches: list[str] = []
        self.is_broken = False
        self.hanging = threading.Event()
        self.changes: dict[str, object] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches.append(self.path)
                while provider.hanging.is_set():
                    time.sleep(0.01)
                body = json.dumps(provider.document(self.path)).encode()
                self.send_response(500 if provider.is_broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def document(self, path: str) -> object:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | self.changes
        algorithm = jwt.algorithms.RSAAlgorithm
        keys = [algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} for kid, key in self.keys.items()]
        return {"keys": keys} | self.changes

    def token(self, key_id: str = "first", key: object = None, algorithm: str = "RS256", **claims: object) -> str:
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
        content = {"iss": self.issuer, "aud": AUDIENCE, "sub": "shop", "exp": expires, **claims}
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, key or self.keys[key_id], algorithm, headers={"kid": key_id})

    def stop(self) -> None:
        self.hanging.clear()
        self._server.shutdown()
        self._server.server_close()


class TestTokens:
    @pytest.fixture
    def provider(self, monkeypatch):
        monkeypatch.setattr(oidc, "_TIMEOUT_SECONDS", PATIENCE)
        provider = Provider()
        yield provider
        provider.stop()

    @pytest.fixture
    def gateway(self, start, provider):
        with start(access={"oidc": {"issuer": provider.issuer, "audience": AUDIENCE}}) as gateway:
            yield gateway

    def ask(self, gateway, token):
        return predict(gateway, ROW, Authorization=f"Bearer {token}")

    def test_a_token_lets_its_bearer_in(self, gateway, provider):
        for _ in range(5):
            assert self.ask(gateway, provider.token()).status_code == 200

        assert provider.fetches == ["/.well-known/openid-configuration", "/keys"]

    def test_requests_that_come_before_the_keys_wait_for_them(self, gateway, provider):
        with ThreadPoolExecutor(8) as threads:
            statuses = {each.status_code for each in threads.map(lambda _: self.ask(gateway, provider.token()), range(8))}

        assert statuses == {200}
        assert provider.fetches.count("/keys") == 1

    def test_the_address_of_the_keys_can_be_given(self, start, provider):
        settings = {"issuer": provider.issuer, "audience": AUDIENCE, "jwks_url": f"{provider.issuer}/keys"}
        with start(access={"oidc": settings}) as gateway:
            assert self.ask(gateway, provider.token()).status_code == 200

        assert provider.fetches == ["/keys"]

    @pytest.mark.parametrize(
        ("claims", "why"),
        [
            ({"aud": "another"}, "Audience doesn't match"),
            ({"aud": None}, 'missing the "aud" claim'),
            ({"iss": "http://another"}, "Invalid issuer"),
            ({"exp": 1}, "Signature has expired"),
            ({"exp": None}, 'missing the "exp" claim'),
            ({"nbf": 2**40}, "not yet valid"),
            ({"sub": None}, 'missing the "sub" claim'),
            ({"sub": ""}, "its subject is not a text"),
            ({"sub": " "}, "its subject is not a text"),
            ({"sub": "x" * 1025}, "its subject is not a text"),
            ({"key": rsa.generate_private_key(65537, 2048)}, "Signature verification failed"),
            ({"key_id": "unknown", "key": rsa.generate_private_key(65537, 2048)}, "a key that its issuer does not have"),
            ({"key": ec.generate_private_key(ec.SECP256R1()), "algorithm": "ES256"}, "The token is not valid"),
            ({"key": "x" * 64, "algorithm": "HS256"}, "The specified alg value is not allowed"),
        ],
    )
    def test_a_token_that_is_not_right(self, gateway, provider, claims, why):
        response = self.ask(gateway, provider.token(**claims))

        assert response.status_code == 401
        assert why in response.json()["detail"]

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaG9wIn0."])
    def test_what_is_no_token(self, gateway, token):
        assert self.ask(gateway, token).status_code == 401

    def test_new_keys_are_fetched_but_not_for_every_made_up_id(self, gateway, provider, monkeypatch):
        monkeypatch.setattr(oidc, "_PAUSE_SECONDS", 0.0)
        assert self.ask(gateway, provider.token()).status_code == 200
        provider.keys = {"second": rsa.generate_private_key(65537, 2048)}
        assert self.ask(gateway, provider.token("second")).status_code == 200
        monkeypatch.setattr(oidc, "_PAUSE_SECONDS", 60.0)
        before = len(provider.fetches)
        for number in range(20):
            assert self.ask(gateway, provider.token(f"made-up-{number}", provider.keys["second"])).status_code == 401

        assert len(provider.fetches) == before

    def test_known_keys_hold_while_the_provider_is_away(self, gateway, provider, monkeypatch):
        assert self.ask(gateway, provider.token()).status_code == 200
        monkeypatch.setattr(oidc, "_PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(oidc, "_KEEP_SECONDS", 0.0)
        provider.is_broken = True

        assert self.ask(gateway, provider.token()).status_code == 200

    def test_a_provider_that_hangs_delays_nobody_whose_key_is_known(self, gateway, provider, monkeypatch):
        assert self.ask(gateway, provider.token()).status_code == 200
        monkeypatch.setattr(oidc, "_PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(oidc, "_KEEP_SECONDS", 0.0)
        provider.hanging.set()
        with ThreadPoolExecutor(8) as threads:
            answers = threads.map(lambda _: self.ask(gateway, provider.token()), range(8), timeout=PATIENCE)

            assert {each.status_code for each in answers} == {200}
        wait_until(lambda: provider.fetches.count("/.well-known/openid-configuration") == 2, "another fetch")

    def test_a_provider_that_hangs_is_not_waited_for_longer_than_a_while(self, gateway, provider, monkeypatch):
        monkeypatch.setattr(oidc, "_TIMEOUT_SECONDS", 0.2)
        provider.hanging.set()

        assert self.ask(gateway, provider.token()).status_code == 503

    def test_keys_are_not_believed_for_ever(self, gateway, provider, monkeypatch):
        assert self.ask(gateway, provider.token()).status_code == 200
        monkeypatch.setattr(oidc, "_PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(oidc, "_STALE_SECONDS", 0.0)
        provider.is_broken = True

        assert self.ask(gateway, provider.token()).status_code == 503

    @pytest.mark.parametrize(
        "documents",
        [
            {"issuer": "http://another"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "ftp://127.0.0.1/keys"},
            {"jwks_uri": 7},
            {"jwks_uri": "http://[1"},
            {"keys": "x" * 300_000},
            {"keys": None},
        ],
    )
    def test_what_a_hostile_provider_sends_is_refused(self, gateway, provider, documents):
        provider.changes = documents

        assert self.ask(gateway, provider.token()).status_code == 503

    def test_a_provider_that_never_answered(self, gateway, provider):
        provider.is_broken = True

        response = self.ask(gateway, provider.token())

        assert response.status_code == 503
        assert response.json()["detail"] == "Tokens cannot be checked at the moment."

    def test_keys_and_tokens_together(self, start, provider):
        key, sha256 = new_key()
        access = {"oidc": {"issuer": provider.issuer, "audience": AUDIENCE}, "api_keys": {"shop": {"sha256": sha256}}}
        with start(access=access) as gateway:
            assert self.ask(gateway, provider.token()).status_code == 200
            assert predict(gateway, ROW, **{"X-API-Key": key}).status_code == 200
            assert "X-API-Key or a token" in predict(gateway, ROW).json()["detail"]


@pytest.mark.usefixtures("in_mid_minute")
class TestRateLimits:
    def test_one_request_too_many(self, start):
        with start(access={"rate_limit": "3/minute"}) as gateway:
            statuses = [predict(gateway, ROW).status_code for _ in range(4)]
            response = predict(gateway, ROW)

        assert statuses == [200, 200, 200, 429]
        assert 1 <= int(response.headers["Retry-After"]) <= 120
        assert response.json()["detail"] == "Rate limit exceeded: 3/minute for 127.0.0.1."

    def test_each_caller_has_one_of_its_own(self, start):
        keys = {name: new_key() for name in ("shop", "app", "batch")}
        limits = {"shop": None, "app": "1/minute", "batch": "5/minute"}
        api_keys = {name: {"sha256": keys[name][1], "rate_limit": limits[name]} for name in keys}
        with start(access={"api_keys": api_keys, "rate_limit": "3/minute"}) as gateway:
            answered = {
                name: sum(predict(gateway, ROW, **{"X-API-Key": key}).status_code == 200 for _ in range(8))
                for name, (key, _) in keys.items()
            }

        assert answered == {"shop": 3, "app": 1, "batch": 5}

    def test_other_questions_are_not_limited(self, start):
        with start(access={"rate_limit": "1/minute"}) as gateway:
            assert {gateway.get("/v1/models").status_code for _ in range(5)} == {200}

    def test_a_key_and_a_subject_of_one_name_do_not_share_a_count(self, start):
        key, sha256 = new_key()
        provider = Provider()
        access = {
            "api_keys": {"shop": {"sha256": sha256}},
            "oidc": {"issuer": provider.issuer, "audience": AUDIENCE},
            "rate_limit": "2/minute",
        }
        try:
            with start(access=access) as gateway:
                by_key = [predict(gateway, ROW, **{"X-API-Key": key}).status_code for _ in range(3)]
                token = provider.token(sub="shop")
                by_token = [predict(gateway, ROW, Authorization=f"Bearer {token}").status_code for _ in range(3)]
        finally:
            provider.stop()

        assert by_key == by_token == [200, 200, 429]

    def test_failed_logins(self, start):
        key, sha256 = new_key()
        access = {"api_keys": {"shop": {"sha256": sha256}}, "failed_logins": "3/minute"}
        with start(access=access) as gateway:
            statuses = [predict(gateway, ROW, **{"X-API-Key": f"cv_{number}"}).status_code for number in range(3)]
            refused = gateway.get("/v1/models", headers={"X-API-Key": "cv_4"})

            assert statuses == [401, 401, 401]
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) >= 1
            assert predict(gateway, ROW, **{"X-API-Key": key}).status_code == 200


@pytest.mark.usefixtures("in_mid_minute")
class TestProxies:
    """The address of a caller behind a proxy, over real connections."""

    @pytest.fixture
    def ask(self, settings):
        """Asks a gateway with a limit of two requests a minute for each address, each time as another one."""

        def _ask(**access):
            gateway = settings(access={"rate_limit": "2/minute", **access})
            listener = socket.create_server(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn_config(create_app(gateway), gateway))
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            wait_until(lambda: server.started)
            try:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/predict"
                statuses = []
                for number in range(4):
                    headers = {"X-Forwarded-For": f"10.0.0.{number}"}
                    statuses.append(httpx.post(url, json={"rows": [ROW]}, headers=headers, timeout=PATIENCE).status_code)
                return statuses
            finally:
                server.should_exit = True
                thread.join()

        return _ask

    def test_nobody_is_believed(self, ask):
        assert ask() == [200, 200, 429, 429]

    @pytest.mark.parametrize("proxy", ["127.0.0.1", "127.0.0.0/8"])
    def test_a_proxy_that_the_settings_name_is_believed(self, ask, proxy):
        assert ask(proxies=[proxy]) == [200, 200, 200, 200]

    def test_another_proxy_is_not(self, ask, monkeypatch):
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")

        assert ask(proxies=["10.0.0.0/8"]) == [200, 200, 429, 429]
        assert ask() == [200, 200, 429, 429]
