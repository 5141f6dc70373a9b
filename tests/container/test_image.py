"""What the task image is, and what it is without."""

from __future__ import annotations

import itertools
import json
import subprocess
from importlib.metadata import version

import pytest

from pipeline.kubeflow.pod.payload import code_digest
from pipeline.local import runner
from tests.container.conftest import BuiltImage

# 2.76 GB on a bare Debian 13, of which TensorFlow is 1.5.
MOST_GIGABYTES = 3.0
CODE = "/opt/conveyor/code"


def inspected(image: BuiltImage) -> dict[str, str]:
    line = ["docker", "image", "inspect", image.name, "--format", "{{json .Config}}"]
    return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def test_its_size_is_told_and_within_bounds(image: BuiltImage) -> None:
    assert 1.0 < image.gigabytes < MOST_GIGABYTES


def test_it_is_not_root(image: BuiltImage) -> None:
    assert image.run("id", "-u").stdout.strip() == "1000"
    assert inspected(image)["User"] == "1000:1000"


def test_it_says_what_it_was_built_from(image: BuiltImage) -> None:
    labels = inspected(image)["Labels"]
    assert labels["org.opencontainers.image.version"] == version("tfx-conveyor")
    assert labels["org.opencontainers.image.revision"].split("-")[0] in image.output or "unknown" in image.output


def test_it_has_no_compiler(image: BuiltImage) -> None:
    names = "cc gcc g++ c++ clang ld make"
    assert image.run("sh", "-c", f"for name in {names}; do command -v $name; done; true").stdout == ""


def test_it_has_no_kfp(image: BuiltImage) -> None:
    find = "from importlib.util import find_spec; print([name for name in {} if find_spec(name)])"
    assert image.python(find.format(("kfp", "kfp_server_api", "vertexai"))) == "[]"
    assert image.python(find.format(("tfx", "pymysql"))) == "['tfx', 'pymysql']"


def test_it_keeps_nothing_of_where_packages_came_from(image: BuiltImage) -> None:
    line = ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image.name]
    history = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    assert "PIP_" not in history + json.dumps(inspected(image)["Env"])


def test_a_change_of_code_changes_small_layers_only(image: BuiltImage) -> None:
    line = ["docker", "history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image.name]
    newest_first = subprocess.run(line, check=True, capture_output=True, text=True).stdout.splitlines()
    of_code = itertools.takewhile(lambda layer: "WORKDIR" not in layer, newest_first)
    assert 100_000 < sum(int(layer.split()[0]) for layer in of_code) < 10_000_000


def test_the_code_is_that_of_the_checkout(image: BuiltImage) -> None:
    digest = "from pipeline.kubeflow.pod.payload import code_digest; print(code_digest())"
    assert image.python(digest) == code_digest()


@pytest.mark.parametrize("modules", ["pipeline.kubeflow.pod.finish", "pipeline.runs.execute"])
def test_all_that_a_pod_imports_is_compiled(image: BuiltImage, modules: str) -> None:
    missing = f"""
import sys
from importlib.util import cache_from_source
from pathlib import Path
import {modules}
files = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
files = [file for file in files if file.endswith(".py")]
print(len(files) > 50, [file for file in files if not Path(cache_from_source(file)).exists()])
"""
    assert image.python(missing).splitlines()[-1] == "True []"


def test_the_code_is_compiled(image: BuiltImage) -> None:
    count = f"""
from importlib.util import cache_from_source
from pathlib import Path
files = list(Path("{CODE}").rglob("*.py"))
print(len(files) > 50, [file for file in files if not Path(cache_from_source(file)).exists()])
"""
    assert image.python(count) == "True []"


def test_the_entry_points_answer(image: BuiltImage) -> None:
    assert "--executor-input" in image.run().stdout
    assert "--executor-input" in image.run("python", "-m", "pipeline.kubeflow.pod.finish", "--help").stdout


def test_any_user_can_run_it(image: BuiltImage) -> None:
    program = """
import getpass, os, pathlib
import pipeline.graph, pipeline.kubeflow.pod.finish, pipeline.training.trainer, pipeline.runs.execute
(pathlib.Path.home() / "file").write_text("")
print(os.getuid(), getpass.getuser())
"""
    assert image.python(program, options=("--user=12345:12345",)) == "12345 conveyor"


def test_it_computes_as_the_laptop_does(image: BuiltImage) -> None:
    environment = dict(variable.split("=", 1) for variable in inspected(image)["Env"])
    assert runner._ENVIRONMENT.items() <= environment.items()
