"""The spans that earlier runs have stored, of which a later run takes over the files instead of reading the input again.

Files are taken over by a hard link where the file system has them. Content, settings and code must be the same, so that the
run makes what a run from nothing makes, byte by byte; files that are not what their run made are left, and the input read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from components.example_gen.columns import FileSummary
from components.example_gen.decision import Decision
from components.example_gen.evidence import Evidence
from components.example_gen.inputs import InputSpan
from components.shared.examples.stored_spans import StoredSpan, StoredSpans
from components.shared.span_results import earlier_artifacts
from pipeline.contracts.spans import FILE_NAME
from pipeline.util.manifests import Flaw, Manifest
from pipeline.util.notes import note


class EarlierRuns:
    """The spans that the runs before this one have stored.

    Args:
      uri: the folder of this run's artifact; those of earlier runs are its siblings.
      settings: a digest of settings and code, which theirs must equal.
    """

    def __init__(self, uri: str, settings: str) -> None:
        self._spans: dict[str, list[tuple[Path, StoredSpan]]] = {}
        self._manifests: dict[Path, Manifest] = {}
        for folder in earlier_artifacts(uri, FILE_NAME):
            manifest = Manifest.load(folder)
            # A run that was killed has left none.
            if isinstance(manifest, Flaw) or _flaw(manifest, folder, [FILE_NAME]):
                continue
            stored = StoredSpans.load(str(folder))
            if stored and stored.settings == settings:
                self._manifests[folder] = manifest
                for span in stored.spans:
                    self._spans.setdefault(span.content, []).append((folder, span))

    def summaries(self, span: InputSpan) -> list[FileSummary] | None:
        """The rows and columns of a span's files; None where no run has read them."""
        if span.content not in self._spans:
            return None
        _, stored = self._spans[span.content][0]
        return [
            FileSummary(path, file.rows, {name: Evidence.model_validate(seen) for name, seen in file.columns.items()})
            for path, file in zip(span.files, stored.columns, strict=True)
        ]

    def stored(self, span: InputSpan, decisions: Mapping[str, Decision], splitter: str) -> tuple[Path, StoredSpan] | None:
        """A span that was stored with its columns read like this, and the artifact's folder; None where there is none.

        Args:
          span: the span.
          decisions: what the table's columns are read as.
          splitter: all that decides how its rows are divided.
        """
        for folder, known in self._spans.get(span.content, ()):
            same = known.splitter == splitter and all(
                decisions[name].kind is kind and decisions[name].day_first == known.day_first.get(name)
                for name, kind in known.stored.items()
            )
            files = [f"Split-{part.split}/{name}" for part in known.parts.values() for name in part.files]
            if same and not _flaw(self._manifests[folder], folder, files):
                return folder, known
        return None


def _flaw(manifest: Manifest, folder: Path, names: Collection[str]) -> Flaw | None:
    flaw = next(manifest.flaws(folder, only=names), None)
    if flaw:
        note(f"{flaw.path} is not what ExampleGen has made, and is not used: {flaw.seen} instead of {flaw.expected}.")
    return flaw
