"""What the command `run` costs before it knows that there is something to do."""

from __future__ import annotations

import subprocess
import sys


def test_finding_out_that_nothing_has_changed_takes_no_heavy_library() -> None:
    program = (
        "import sys, pipeline.local.runner, pipeline.local.unchanged;"
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam', 'numpy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
