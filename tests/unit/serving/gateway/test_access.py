"""Who may call, and how often."""

from __future__ import annotations

import datetime
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from serving.gateway import oidc
from serving.gateway.access import new_key
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
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches.append(self.path)
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
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        algorithm = jwt.algorithms.RSAAlgorithm
        return {"keys": [algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} for kid, key in self.keys.items()]}

    def token(self, key_id: str = "first", key: object = None, algorithm: str = "RS256", **claims: object) -> str:
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
        content = {"iss": self.issuer, "aud": AUDIENCE, "sub": "shop", "exp": expires, **claims}
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, key or self.keys[key_id], algorithm, headers={"kid": key_id})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class TestTokens:
    @pytest.fixture
    def provider(self):
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
