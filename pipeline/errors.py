"""The errors that a user sees, each on one screen: what happened and where, expected, seen, and how to fix it.

The family, where its members live, and the exit code of a command that ends with one; a class without one has its parent's:

ConveyorError                       exit code 1
    UsageError                      exit code 2
        ConfigError
        UnknownModelError           serving.errors
        NotExplainableError         serving.errors
    DataError                       exit code 3
        RejectedError               serving.errors
        FeatureError                serving.errors
    NotBlessedError                 exit code 4
    DriftError                      exit code 5
    WorseError                      exit code 5
    NodeError
        PodLostError            pipeline.kubeflow.failures
    StorageError
        DatabaseDownError           pipeline.runs.database
        DamagedInputError           pipeline.runs.verification
        DamagedRunError             pipeline.runs.status
        DamagedStoreError           pipeline.runs.sqlite_store
        LockedError                 serving.rollout.files
    UntrustedModelError             pipeline.contracts.signature
    ProgramError                    pipeline.util.programs
    ApiError                        pipeline.kubeflow.api_errors
    TrackingError                   pipeline.tracking.server
    ServingError                    serving.errors
        ServerAwayError             serving.errors
        DeadlineError               serving.errors

Other exceptions do not reach the command line on their own. Each is raised and caught within one package, except those of
components.shared and pipeline.util, which those who use them raise or catch:

FlawedError                         pipeline.config.flaws
ColumnError                         components.shared.examples.encoder
BrokenRecordError                   components.shared.examples.tfrecord
UnsupportedError                    components.shared.fast_executor
MisfitError                         components.example_gen.text.parsing
RefusedError                        components.infra_validator.probe
ChangedError                        pipeline.local.unchanged
RemoteTraceback                     pipeline.runs.status
BrokenSealError                     pipeline.util.sealed
BrokenStateError                    pipeline.util.states
NotDataError                        pipeline.util.states
UneditableError                     pipeline.util.text_proto
_UnfitError                         serving.client.features
RefusedError                        serving.connections
HostileError                        serving.gateway.jwks
RefusedError                        serving.gateway.oidc
ProblemError                        serving.gateway.problems
AwayError                           serving.gateway.shared_store
TooLargeError                       serving.modelserver.protocol.rest.api
StatusError                         serving.modelserver.status
"""

from __future__ import annotations

from typing import Any


class ConveyorError(Exception):
    """Base of every error that the command line prints without a traceback.

    Attributes:
      what: one sentence: what happened.
      where: the file, node, feature or field it happened in.
      expected: what would have been right.
      seen: what was found instead.
      fix: a sentence that says what to do, with the command to type where there is one.
      exit_code: the exit status of the command that ends with this error.
    """

    exit_code = 1
    headline = "Conveyor stopped"

    def __init__(self, what: str, *, where: str = "", expected: str = "", seen: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.expected, self.seen, self.fix = what, where, expected, seen, fix

    def details(self) -> dict[str, str]:
        """The parts that are known, by name, in the order in which they are read."""
        parts = {"where": self.where, "expected": self.expected, "seen": self.seen, "fix": self.fix}
        return {name: text for name, text in parts.items() if text}

    def __str__(self) -> str:
        lines = (f"  {name:<8}  {text}".replace("\n", "\n" + " " * 12) for name, text in self.details().items())
        return "\n".join([self.what, *lines])

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries: from the worker that runs a node to the command that reports it.
        return _rebuild, (type(self), self.what, {name: getattr(self, name) for name in ("where", "expected", "seen", "fix")})


def _rebuild(kind: type[ConveyorError], what: str, details: dict[str, str]) -> ConveyorError:
    return kind(what, **details)


class UsageError(ConveyorError):
    """The command or its arguments cannot be carried out: an unknown node, run, span or version."""

    exit_code = 2
    headline = "Usage error"


class ConfigError(UsageError):
    """The configuration cannot be read or does not hold together."""

    headline = "Configuration error"


class DataError(ConveyorError):
    """The data cannot be read, or breaks the schema."""

    exit_code = 3
    headline = "Data error"


class NotBlessedError(ConveyorError):
    """The run is complete, but its model was not good enough to be pushed."""

    exit_code = 4
    headline = "The model was not blessed"


class DriftError(ConveyorError):
    """The rows that are served are no longer like those that the model was trained on."""

    exit_code = 5
    headline = "Drift"


class WorseError(ConveyorError):
    """A candidate is worse than the version that serves, on what was really asked."""

    exit_code = 5
    headline = "The candidate is worse"


class NodeError(ConveyorError):
    """A node of the pipeline failed for a reason that is not the data's."""

    headline = "A node failed"


class StorageError(ConveyorError):
    """The workspace cannot be written to: a full disk, missing rights, another run at work."""

    headline = "Storage error"
