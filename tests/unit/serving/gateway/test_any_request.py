"""Whatever is asked, by the gateway's own description or beside it: no answer is a fault, and none breaks the description."""

from __future__ import annotations

import json

import jsonschema
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.serving.gateway.conftest import ROW

_TEMPLATE = "#/components/schemas/"
_TEXT = st.text(max_size=5) | st.sampled_from(["UA", "2013-04-01T06:30:00Z", "0001-01-01", "NaN", "\0", "1e999", "9" * 400])
_NUMBER = st.integers() | st.floats() | st.sampled_from([0, 1400.0, -0.0, 1e308, 2**63, -(2**63), 2**64, 1e-320])
_VALUE = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_ROW = st.builds(lambda given, changed: {**given, **changed}, st.just(ROW), st.dictionaries(st.sampled_from(list(ROW)), _VALUE))
_KEYED = st.lists(st.tuples(_ROW | st.just(ROW), _VALUE), min_size=1, max_size=3).map(
    lambda both: {"rows": [row for row, _ in both], "keys": [key for _, key in both]}
)
_DOCUMENT = (
    _KEYED
    | st.fixed_dictionaries({"rows": st.lists(_ROW, max_size=3)}, optional={"keys": st.lists(_VALUE, max_size=3)})
    | st.dictionaries(st.sampled_from(["rows", "keys", "model"]), _VALUE)
    | _VALUE
)
_QUERY = st.sampled_from(
    ["", "?explain=true", "?explain=0", "?explain=", "?explain=2", "?explain[]=%00", "?x=%ff", "?" + "a" * 300]
)
_PATHS = st.sampled_from(
    ["/v1/predict", "/v1/models", "/healthz", "/readyz", "/v1/predict/", "/v1/%00", "//", "/v1/predict%2f"]
)


def test_a_request_is_answered_as_described(start, server):
    server.references = [{"carrier": "UA", "departure": 900, "distance": 1400.0}]
    with start(cache={"rows": 20}) as gateway:
        document = gateway.get("/openapi.json").json()
        refused, answered = (
            jsonschema.Draft202012Validator({**document, "$ref": f"{_TEMPLATE}{name}"})
            for name in ("Problem", "PredictResponse")
        )
        asked = jsonschema.Draft202012Validator({**document, "$ref": f"{_TEMPLATE}PredictRequest"})

        @settings(max_examples=150)
        @given(_DOCUMENT, _QUERY)
        @example({"rows": [ROW], "keys": [True]}, "")
        @example({"rows": [ROW], "keys": ["0" * 257]}, "")
        def check(body: object, query: str) -> None:
            response = gateway.post(f"/v1/predict{query}", content=json.dumps(body))
            assert response.status_code in (200, 400, 422), response.text
            (answered if response.status_code == 200 else refused).validate(response.json())
            if response.status_code == 200:
                asked.validate(body)

        @settings(max_examples=50)
        @given(_PATHS, st.sampled_from(["GET", "POST", "PUT", "TRACE", "X"]), st.binary(max_size=50))
        def check_beside(path: str, method: str, body: bytes) -> None:
            response = gateway.request(method, path, content=body)
            assert response.status_code < 500, response.text

        check()
        check_beside()
