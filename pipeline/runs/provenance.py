"""With what a run was made: the versions of the packages that decide what a model is, and the state of the repository."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, Field

from pipeline.util import git

PACKAGES = (
    "tfx-conveyor",
    "tfx",
    "tensorflow",
    "keras",
    "lightgbm",
    "tensorflow-data-validation",
    "tensorflow-transform",
    "tensorflow-model-analysis",
    "numpy",
    "pyarrow",
    "apache-beam",
)
"""The packages whose versions can change what a run makes."""

_MOST_FILES = 20


class Provenance(BaseModel):
    """With what a run was made.

    Attributes:
      python: the version of Python.
      packages: the versions of PACKAGES, by name; those that are not installed are left out.
      folder: the folder that the run was started in.
      commit: the commit that is checked out there; empty without a repository.
      changed: files of that folder that differed from the commit, twenty at most, new ones too where git would add them; None
        where git did not tell.
    """

    python: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    folder: str = ""
    commit: str = ""
    changed: list[str] | None = None

    @classmethod
    def here(cls, workspace: Path) -> Provenance:
        """That of this process, in its working directory.

        Args:
          workspace: the folder that runs write into: what is in it does not count as changed.
        """
        folder = Path.cwd()
        commit = git.ask(folder, "rev-parse", "HEAD") or ""
        others = (".", f":(exclude){workspace}") if folder in workspace.parents else (".",)
        status = git.ask(folder, "status", "--porcelain", "--", *others) if commit else None
        return cls(
            python=platform.python_version(),
            packages={name: version for name in PACKAGES if (version := _version(name))},
            folder=str(folder),
            commit=commit,
            # Two letters for the state, a blank, and the file.
            changed=None if status is None else [line[3:] for line in status.splitlines()[:_MOST_FILES]],
        )

    @property
    def revision(self) -> str:
        """The commit in twelve digits, with what was changed beside it."""
        if not self.commit:
            return ""
        if self.changed is None:
            return f"{self.commit[:12]}, changes unknown"
        if not self.changed:
            return self.commit[:12]
        count = f"{len(self.changed)} or more" if len(self.changed) == _MOST_FILES else str(len(self.changed))
        return f"{self.commit[:12]}, {count} file{'' if count == '1' else 's'} changed"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
