"""A version of a model in memory: a SavedModel, restored and run as TensorFlow Serving does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving.modelserver.flags import Flags
from serving.modelserver.status import deadline_exceeded, from_exception, invalid_argument
from serving.modelserver.text_protos import read_text_proto

_KEPT_CALLABLES = 128
TIMED_OUT = "Timed out waiting for notification"
"""TensorFlow's words for a run that took too long."""

Signatures = Mapping[str, meta_graph_pb2.SignatureDef]


class Runner(Protocol):
    """Runs tensors through a graph."""

    def __call__(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], deadline: float | None) -> list[np.ndarray]:
        """Runs the graph.

        Args:
          feeds: arrays by the name of their tensor.
          fetches: names of the tensors to answer.
          deadline: the time to give up, on the clock of time.monotonic; never when None.

        Returns:
          An array for each of `fetches`; strings are objects (bytes).

        Raises:
          StatusError: it failed, or was not done in time.
        """
        ...


@dataclass(frozen=True)
class SessionOptions:
    """Options for restoring a SavedModel.

    Attributes:
      tags: the tags of the MetaGraph.
      config: the configuration of the session.
    """

    tags: tuple[str, ...] = (tf.saved_model.SERVING,)
    config: config_pb2.ConfigProto | None = None

    @classmethod
    def from_flags(cls, flags: Flags) -> SessionOptions:
        """The options that a server's flags ask for.

        Raises:
          ConfigError: --tensorflow_session_config_file cannot be read.
        """
        config = config_pb2.ConfigProto()
        if flags.tensorflow_session_config_file:
            config = read_text_proto(flags.tensorflow_session_config_file, config_pb2.ConfigProto)
        config.intra_op_parallelism_threads = flags.tensorflow_intra_op_parallelism or flags.tensorflow_session_parallelism
        config.inter_op_parallelism_threads = flags.tensorflow_inter_op_parallelism or flags.tensorflow_session_parallelism
        return cls(tuple(flags.saved_model_tags.split(",")), config)


class Servable:
    """A SavedModel that is ready to run.

    Variables are restored by the session and the model's own Python is not looked at, as in TensorFlow Serving: a model that
    cannot be served there fails here too.

    Args:
      name: the model's name.
      version: the version's number.
      path: the folder of the SavedModel.
      options: the options for restoring it.

    Attributes:
      signatures: the SavedModel's signatures by name.
      run: runs the graph, or collects requests into batches for it.

    Raises:
      StatusError: the SavedModel cannot be loaded.
    """

    def __init__(self, name: str, version: int, path: Path, options: SessionOptions) -> None:
        self.name, self.version = name, version
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=options.config)
        try:
            with self._session.graph.as_default():
                graph = tf.compat.v1.saved_model.load(self._session, list(options.tags), str(path))
        except Exception as error:
            self._session.close()
            raise from_exception(error) from error
        self.signatures: Signatures = dict(graph.signature_def)
        self.run: Runner = self._run_session
        self._callable = lru_cache(_KEPT_CALLABLES)(self._make_callable)
        self._prepare()

    def close(self) -> None:
        """Frees the memory; no call may be under way."""
        self._callable.cache_clear()
        self._session.close()

    def _run_session(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], deadline: float | None) -> list[np.ndarray]:
        names = tuple(sorted(feeds))
        wanted = tuple(sorted({*fetches} - {*feeds}))
        _check(deadline)
        try:
            answers = self._callable(names, wanted)(*(feeds[name] for name in names)) if wanted else []
        except UnicodeDecodeError as error:
            # TensorFlow's message quotes bytes of the request. Python cannot read it, and has lost its code.
            raise invalid_argument(error.object.decode(errors="replace")) from error
        except Exception as error:
            raise from_exception(error) from error
        _check(deadline)
        known = dict(feeds) | dict(zip(wanted, map(_array, answers), strict=True))
        return [known[fetch] for fetch in fetches]

    def _make_callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Callable[..., list[np.ndarray]]:
        """Runs the graph without the Python of Session.run, which costs ten times as much and keeps other threads waiting.

        It optimises the graph, which may take a second: that is why a deadline, which differs from request to request, is not
        among its options, and a run that has begun goes on.
        """
        return self._session._make_callable_from_options(config_pb2.CallableOptions(feed=feeds, fetch=fetches))

    def _prepare(self) -> None:
        """Makes the callables of all signatures, so that no first request has to wait for them."""
        for signature in self.signatures.values():
            inputs = {info.name for info in signature.inputs.values()}
            outputs = {info.name for info in signature.outputs.values()} - inputs
            # A signature that cannot be run fails when it is asked for; the others work.
            with suppress(tf.errors.OpError):
                if inputs and outputs:
                    self._callable(tuple(sorted(inputs)), tuple(sorted(outputs)))


def _array(answer: Any) -> np.ndarray:
    """A session's answer as an array; it answers scalars as NumPy scalars, and strings among them as bytes."""
    if isinstance(answer, np.ndarray):
        return answer
    return np.array(answer, object if isinstance(answer, bytes) else None)


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise deadline_exceeded(TIMED_OUT)
