from __future__ import annotations

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.util.yaml_text import in_yaml


@given(st.text(min_size=1))
@example("yes")
@example("1e3")
@example("a: b")
@example("prénom")
@example("\x85")
def test_yaml_reads_the_name_back(name: str) -> None:
    assert yaml.safe_load(f"columns: {{{in_yaml(name)}: text}}") == {"columns": {name: "text"}}
