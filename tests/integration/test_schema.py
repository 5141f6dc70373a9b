"""A run that a curated schema stops: its remedy, followed to the letter, makes the next run succeed."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from tests.integration.conftest import CONVEYOR, ENVIRONMENT

CONFIG = """\
name: houses
label: sold  # on the first day
data: {input: houses.csv}
schema: {path: schema.pbtxt}
"""
SCHEMA = """\
# What the agents agreed on.
feature { name: "sold" type: INT int_domain { min: 0 max: 1 } presence { min_fraction: 1 } }
feature {
  name: "rooms"
  type: INT
  int_domain { min: 1 max: 5 }  # no castles
}
feature { name: "town" type: BYTES domain: "towns" }
string_domain { name: "towns" value: "Bonn" value: "Köln" }
"""


def test_the_remedy_of_a_stopped_run_works(tmp_path: Path) -> None:
    rows = [f"{row % 9 + 1},{('Bonn', 'Köln', 'Ulm')[row % 3]},{row % 2}" for row in range(90)]
    (tmp_path / "houses.csv").write_text("\n".join(["rooms,town,sold", *rows]), encoding="utf-8")
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    (tmp_path / "schema.pbtxt").write_text(SCHEMA, encoding="utf-8")

    def conveyor(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([CONVEYOR, *arguments], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT)

    stopped = conveyor("run", "--to", "ExampleValidator")
    assert stopped.returncode == 3
    command = re.search(r"^ *(conveyor schema accept.*)$", stopped.stderr, re.M)
    assert command is not None, stopped.stderr

    accepted = conveyor(*shlex.split(command[1])[1:])
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    text = (tmp_path / "schema.pbtxt").read_text(encoding="utf-8")
    assert text == SCHEMA.replace("max: 5", "max: 9").replace('value: "Köln"', 'value: "Köln" value: "Ulm"')

    went_on = conveyor("run", "--to", "ExampleValidator")
    assert went_on.returncode == 0, went_on.stdout + went_on.stderr


def test_a_rare_category_does_not_stop_a_run_whose_schema_is_inferred(tmp_path: Path) -> None:
    """The split is random, and every tenth row has a town of its own."""
    rows = [f"{'' if row else 1},{f'Town {row}' if row % 10 == 0 else 'Bonn'},{row % 2}" for row in range(100)]
    (tmp_path / "houses.csv").write_text("\n".join(["castles,town,sold", *rows]), encoding="utf-8")
    (tmp_path / "pipeline.yaml").write_text("name: houses\nlabel: sold\ndata: {input: houses.csv}\n")
    command = [CONVEYOR, "run", "--to", "ExampleValidator"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT)

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ExampleValidator: town \(split eval\): has values that train does not have: Town \d", done.stdout, re.M)
    assert re.search(r"^ExampleValidator: castles \(split eval\): has ", done.stdout, re.M)
