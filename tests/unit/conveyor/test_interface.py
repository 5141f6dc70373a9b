"""The Python interface: what it reads from a workspace, and what a person is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import conveyor
from pipeline.contracts.signature import UntrustedModelError
from pipeline.errors import ConfigError, UsageError


@pytest.fixture
def pipeline(config) -> conveyor.Pipeline:
    return conveyor.Pipeline(config)


def test_a_file_with_overrides(config, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.effective()))
    loaded = conveyor.load(path, {"training.epochs": 3, "evaluation.slices": [["carrier"]], "tuner.enabled": True})
    assert loaded.config.training.epochs == 3
    assert loaded.config.evaluation.slices == (("carrier",),)
    assert loaded.config.tuner.enabled is True


def test_fields_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built = conveyor.Pipeline.of(name="houses", task="regression", label="price", data={"input": "houses.csv"})
    assert built.config.data.input == str(tmp_path / "houses.csv")
    assert repr(built) == f"Pipeline('houses': regression of 'price' in {tmp_path / 'houses.csv'})"


def test_every_problem_of_the_fields_is_told_and_mended_as_it_says() -> None:
    fields = {"nam": "houses", "label": "price", "data": {"input": "houses.csv"}}
    with pytest.raises(ConfigError) as caught:
        conveyor.Pipeline.of(**fields)
    assert caught.value.seen.splitlines() == [
        "name: name is required, but not given. Add it: name: …",
        "nam: nam is not a field. Did you mean 'name'?",
    ]
    conveyor.Pipeline.of(name=fields.pop("nam"), **fields)


def test_a_run_has_its_verdict_metrics_and_slices(pipeline: conveyor.Pipeline, workspace) -> None:
    workspace.run("first", "-1", version="1")
    workspace.run("second", "-2", baseline="model-1", version="2")
    run = pipeline.find_run()

    assert (run.id, run.state, run.blessed, run.version) == ("second", "complete", True, 2)
    assert run.verdict.splitlines()[0] == "Blessed and pushed as version 2"
    assert run.metrics.loc["auc"].round(4).to_dict() == {"candidate": 0.8, "baseline": 0.75, "difference": 0.05}
    assert run.slices.index[0] == "all rows"
    assert "auc" in run.slices
    assert pipeline.runs().loc[["second", "first"], "version"].tolist() == [2, 1]


def test_a_refused_model_is_a_run_too(pipeline: conveyor.Pipeline, workspace) -> None:
    workspace.run("first", "-1", min_auc=0.9)
    run = pipeline.find_run("fir")
    assert (run.blessed, run.version) == (False, None)
    assert "auc is 0.8, wanted ≥ 0.9" in run.verdict


def test_a_notebook_shows_metrics_and_report(pipeline: conveyor.Pipeline, workspace) -> None:
    workspace.run("first", "-1", version="1")
    run = pipeline.find_run()
    assert "Blessed and pushed as version 1" in run._repr_html_()
    assert "<td>0.8000</td>" in run._repr_html_()
    frame = run.report._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!')
    assert frame.count('"') == 8


def test_no_model_yet(pipeline: conveyor.Pipeline) -> None:
    with pytest.raises(UsageError, match="No model has been pushed yet"):
        pipeline.model()


def test_a_version_that_is_not_there(pipeline: conveyor.Pipeline) -> None:
    (pipeline.config.serving_path / "3").mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        pipeline.model(4)
    assert caught.value.expected == "one of 3"


def test_what_is_no_number_is_no_version(pipeline: conveyor.Pipeline) -> None:
    for name in ("3", "1²", "٤", ".unfinished-x"):
        (pipeline.config.serving_path / name).mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        pipeline.model(4)
    assert caught.value.expected == "one of 3"


def test_where_a_key_is_trusted_a_version_without_its_signature_is_not_loaded(config, tmp_path: Path) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "public.pem").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    push = config.push.model_copy(update={"public_key": str(tmp_path / "public.pem")})
    (config.serving_path / "3").mkdir(parents=True)
    with pytest.raises(UntrustedModelError):
        conveyor.Pipeline(config.model_copy(update={"push": push})).model()


def test_importing_it_loads_neither_tfx_nor_tensorflow() -> None:
    program = "import sys, conveyor; print(sorted({'tfx', 'tensorflow', 'apache_beam', 'kfp'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
