"""A model server with a model of each kind, for the tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.serving.modelserver.running import Running, serving
from tests.integration.serving.saved_models import write_half_plus, write_keras, write_module


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models: half (versions 1 and 2, which add 2 and 3), module and keras."""
    folder = tmp_path_factory.mktemp("models")
    write_half_plus(folder / "half" / "1", 2.0)
    write_half_plus(folder / "half" / "2", 3.0)
    write_module(folder / "module" / "1")
    write_keras(folder / "keras" / "1")
    return folder


@pytest.fixture(scope="session")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Serves them: both versions of half, called stable and canary."""
    configuration = tmp_path_factory.mktemp("configuration")
    models, monitoring = configuration / "models.config", configuration / "monitoring.config"
    models.write_text(
        f"""
        model_config_list {{
          config {{
            name: "half" base_path: "{folder}/half" model_platform: "tensorflow"
            model_version_policy {{ all {{}} }}
            version_labels {{ key: "stable" value: 1 }}
            version_labels {{ key: "canary" value: 2 }}
          }}
          config {{ name: "module" base_path: "{folder}/module" model_platform: "tensorflow" }}
          config {{ name: "keras" base_path: "{folder}/keras" model_platform: "tensorflow" }}
        }}
        """
    )
    monitoring.write_text("prometheus_config { enable: true }")
    with serving(
        model_config_file=str(models),
        monitoring_config_file=str(monitoring),
        allow_version_labels_for_unavailable_models=True,
        rest_api_enable_cors_support=True,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions of half: 1 takes three seconds to answer."""
    folder = tmp_path_factory.mktemp("slow")
    write_half_plus(folder / "1", 2.0, seconds=3.0)
    return folder
