"""Requests that come at the same time run as one batch: TensorFlow Serving's batching, with its parameters."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread

import numpy as np

from pipeline.errors import ConfigError
from serving.modelserver import metrics
from serving.modelserver.flags import CORES, Flags
from serving.modelserver.inference.servable import Runner
from serving.modelserver.status import StatusError, deadline_exceeded, from_exception, invalid_argument, unavailable
from serving.modelserver.text_protos import BatchingParameters, read_text_proto

PER_MODEL_FILE = "batching_params.pbtxt"
"""A version's own parameters in its folder, for --enable_per_model_batching_parameters."""

_Key = tuple[object, ...]


@dataclass(frozen=True)
class BatchParameters:
    """Parameters of batches; names and defaults are those of BatchingParameters.

    Attributes:
      max_batch_size: the most rows of a batch.
      batch_timeout_micros: the time that the first request of a batch waits for others.
      max_enqueued_batches: the number of full batches that may wait; beyond them requests are refused.
      num_batch_threads: the number of batches that run at once.
      allowed_batch_sizes: batches are filled up to the next of these; any size when empty.
      pad_variable_length_inputs: fill shorter rows up with zeros, so that rows of different lengths share a batch.
      enable_large_batch_splitting: run a request that is larger than a batch in parts.
      max_execution_batch_size: the rows of such a part.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = CORES
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    @classmethod
    def from_file(cls, path: str | Path) -> BatchParameters:
        """Reads parameters; those that the file lacks have their defaults.

        Raises:
          ConfigError: the file cannot be read, or its parameters contradict each other.
        """
        proto = read_text_proto(path, BatchingParameters)
        values: dict[str, int | bool | tuple[int, ...]] = {}
        for descriptor, value in proto.ListFields():
            if descriptor.name in cls.__dataclass_fields__:
                is_list = descriptor.name == "allowed_batch_sizes"
                values[descriptor.name] = tuple(value) if is_list else getattr(value, "value", value)
        parameters = cls(**values)  # type: ignore[arg-type]
        problem = parameters._problem()
        if problem:
            raise ConfigError("The batching parameters contradict each other.", where=str(path), seen=problem)
        return parameters

    @property
    def largest(self) -> int:
        """The maximum number of rows that run at once."""
        splits = self.enable_large_batch_splitting and self.max_execution_batch_size
        return self.max_execution_batch_size if splits else self.max_batch_size

    def _problem(self) -> str:
        if self.max_batch_size < 1:
            return f"max_batch_size must be at least 1; was {self.max_batch_size}"
        if self.num_batch_threads < 1:
            return f"num_batch_threads must be at least 1; was {self.num_batch_threads}"
        if self.batch_timeout_micros < 0:
            return f"batch_timeout_micros must not be negative; was {self.batch_timeout_micros}"
        if self.max_enqueued_batches < 1:
            return f"max_enqueued_batches must be at least 1; was {self.max_enqueued_batches}"
        if self.max_execution_batch_size > self.max_batch_size:
            return "max_batch_size should be at least max_execution_batch_size"
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != self.largest):
            return f"allowed_batch_sizes must increase and end with {self.largest}; were {list(sizes)}"
        return ""


@dataclass
class _Task:
    run: Runner
    feeds: Mapping[str, np.ndarray]
    fetches: tuple[str, ...]
    deadline: float | None
    rows: int
    started: float
    answer: Future[list[np.ndarray]] = field(default_factory=Future)


class BatchScheduler:
    """Threads that run batches, for any number of models. They end with the process.

    Args:
      threads: the number of batches that run at once.
    """

    def __init__(self, threads: int) -> None:
        self._condition = Condition()
        self._queues: dict[_Key, tuple[BatchParameters, deque[_Task]]] = {}
        for number in range(threads):
            Thread(target=self._work, name=f"batch-{number}", daemon=True).start()

    def wrap(self, run: Runner, parameters: BatchParameters) -> Runner:
        """A runner that collects requests into batches for another one.

        Args:
          run: the runner of one version.
          parameters: the parameters of its batches.
        """

        def batched(feeds: Mapping[str, np.ndarray], fetches: Sequence[str], deadline: float | None) -> list[np.ndarray]:
            rows = _rows(feeds)
            if rows is None:
                # Without a common first dimension requests cannot be joined.
                return run(feeds, fetches, deadline)
            parts = [feeds]
            if rows > parameters.largest:
                if not parameters.enable_large_batch_splitting:
                    raise invalid_argument(
                        f"Task size {rows} is larger than maximum input batch size {parameters.max_batch_size}"
                    )
                size = parameters.largest
                parts = [{name: array[at : at + size] for name, array in feeds.items()} for at in range(0, rows, size)]
            tasks = [self._enqueue(run, part, tuple(fetches), deadline, parameters) for part in parts]
            answers = [_wait(task) for task in tasks]
            return answers[0] if len(answers) == 1 else [np.concatenate(arrays) for arrays in zip(*answers, strict=True)]

        return batched

    def _enqueue(
        self,
        run: Runner,
        feeds: Mapping[str, np.ndarray],
        fetches: tuple[str, ...],
        deadline: float | None,
        parameters: BatchParameters,
    ) -> _Task:
        task = _Task(run, feeds, fetches, deadline, _rows(feeds) or 0, time.monotonic())
        # Rows of different shapes are kept apart, so that no request spoils another one's batch.
        shapes = tuple(
            (name, array.ndim if parameters.pad_variable_length_inputs else array.shape[1:])
            for name, array in sorted(feeds.items())
        )
        key = (id(run), fetches, shapes)
        with self._condition:
            _, queue = self._queues.setdefault(key, (parameters, deque()))
            waiting = sum(queued.rows for queued in queue)
            if waiting + task.rows > parameters.max_enqueued_batches * parameters.largest:
                raise unavailable("The batch scheduling queue to which this task was submitted is full")
            queue.append(task)
            self._condition.notify()
        return task

    def _work(self) -> None:
        while True:
            parameters, batch = self._next_batch()
            _run_batch(parameters, batch)

    def _next_batch(self) -> tuple[BatchParameters, list[_Task]]:
        """Waits for a batch that is full, or whose first task has waited long enough."""
        with self._condition:
            while True:
                now = time.monotonic()
                pause = None
                # The queue whose first task has waited longest comes first.
                for key, (parameters, queue) in sorted(self._queues.items(), key=lambda item: item[1][1][0].started):
                    due = queue[0].started + parameters.batch_timeout_micros / 1e6
                    if due <= now or sum(task.rows for task in queue) >= parameters.largest:
                        batch = _take(queue, parameters.largest)
                        if not queue:
                            del self._queues[key]
                        return parameters, batch
                    pause = due - now if pause is None else min(pause, due - now)
                self._condition.wait(pause)


def _rows(feeds: Mapping[str, np.ndarray]) -> int | None:
    sizes = {array.shape[0] if array.ndim else None for array in feeds.values()}
    return sizes.pop() if len(sizes) == 1 else None


def _take(queue: deque[_Task], largest: int) -> list[_Task]:
    batch: list[_Task] = []
    rows = 0
    while queue and (not batch or rows + queue[0].rows <= largest):
        rows += queue[0].rows
        batch.append(queue.popleft())
    return batch


def _wait(task: _Task) -> list[np.ndarray]:
    timeout = None if task.deadline is None else max(task.deadline - time.monotonic(), 0)
    try:
        return task.answer.result(timeout)
    except FutureTimeoutError:
        raise deadline_exceeded("The deadline passed while the request waited for its batch.") from None


def _run_batch(parameters: BatchParameters, batch: list[_Task]) -> None:
    now = time.monotonic()
    for task in batch:
        metrics.record_queuing(now - task.started)
    deadlines = [task.deadline for task in batch]
    deadline = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
    try:
        answers = _join(parameters, batch, deadline)
    except StatusError as error:
        if len(batch) == 1:
            batch[0].answer.set_exception(error)
            return
        # One of the requests may have spoilt the batch: each gets the answer that it would get alone.
        for task in batch:
            _run_batch(parameters, [task])
        return
    for task, answer in zip(batch, answers, strict=True):
        task.answer.set_result(answer)


def _join(parameters: BatchParameters, batch: list[_Task], deadline: float | None) -> list[list[np.ndarray]]:
    rows = sum(task.rows for task in batch)
    size = next((allowed for allowed in parameters.allowed_batch_sizes if allowed >= rows), rows)
    feeds = {}
    for name in batch[0].feeds:
        arrays = [task.feeds[name] for task in batch]
        if parameters.pad_variable_length_inputs:
            arrays = _pad(arrays)
        arrays.extend([arrays[0][:1]] * (size - rows))
        feeds[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    try:
        outputs = batch[0].run(feeds, batch[0].fetches, deadline)
    except Exception as error:
        raise from_exception(error) from error
    for fetch, output in zip(batch[0].fetches, outputs, strict=True):
        if output.ndim == 0 or output.shape[0] != size:
            raise invalid_argument(f"Batched output {fetch} has the shape {list(output.shape)} for {size} rows of input")
    ends = np.cumsum([task.rows for task in batch])
    return [[output[end - task.rows : end] for output in outputs] for task, end in zip(batch, ends, strict=True)]


def _pad(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Arrays of the same shape but for their first dimension, filled up with zeros or empty strings."""
    longest = np.max([array.shape[1:] for array in arrays], axis=0)
    padded = []
    for array in arrays:
        missing = [(0, 0), *((0, int(size)) for size in longest - array.shape[1:])]
        fill = b"" if array.dtype == object else np.zeros((), array.dtype)
        padded.append(np.pad(array, missing, constant_values=fill) if any(map(sum, missing)) else array)
    return padded


def server_parameters(flags: Flags) -> BatchParameters | None:
    """The parameters that a server's flags ask for; None without --enable_batching.

    Raises:
      ConfigError: the file of parameters is wrong.
    """
    if not flags.enable_batching:
        return None
    return BatchParameters.from_file(flags.batching_parameters_file) if flags.batching_parameters_file else BatchParameters()
