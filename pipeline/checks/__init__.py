"""What of a configuration only its data and the files that it names can tell, found in a second or two and without a run.

`conveyor config validate` says all of it, and a run begins with it. Only what is certain counts: of large data the beginnings
of some files are read, and what the rest might change is left to the run.
"""

from pipeline.checks.find import Findings, examine, find_flaws

__all__ = ["Findings", "examine", "find_flaws"]
