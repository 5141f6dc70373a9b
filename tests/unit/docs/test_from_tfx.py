"""The pipeline that docs/from-tfx.md moves over from TFX's template is one that Conveyor takes."""

from __future__ import annotations

import ast
import re

from pipeline.config.loading import load_config
from pipeline.util import checkout

PAGE = (checkout.ROOT / "docs" / "from-tfx.md").read_text()


def test_the_configuration_is_valid_and_names_functions_of_the_module(tmp_path):
    _, module = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "pipeline.yaml").write_text(text)

    config = load_config(tmp_path / "pipeline.yaml", (), as_written=True)

    functions = {node.name for node in ast.parse(module).body if isinstance(node, ast.FunctionDef)}
    named = {config.preprocessing.preprocessing_fn, config.model.build_model}
    assert named == {f"taxi.py:{name}" for name in functions if not name.startswith("_")}
