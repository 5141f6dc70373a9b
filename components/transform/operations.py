"""The operations of TFT's analysis by type, executed in this process.

TFT compiles a preprocessing function to a graph of operations and translates that to a Beam pipeline: about 900 transforms
and 100 bundles, which take most of the time of an analysis of this size. Here each operation becomes a deferred value.
Accumulators are TFT's own; one pass over the data feeds them for each phase.
"""

from __future__ import annotations

import hashlib
import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from apache_beam.internal import pickler
from tensorflow_transform import analyzer_nodes, analyzers, nodes
from tensorflow_transform.beam import beam_nodes
from tfx_bsl.sketches import QuantilesSketch

from components.shared.fast_executor import UnsupportedError
from components.transform.passes import Accumulator, Batch, Deferred, Pass, Reading

STATES = (QuantilesSketch, analyzers._LMomentsAccumulator, analyzers._WeightedMeanAndVarAccumulator)
"""The classes of which states are made, besides arrays, lists, tuples and counters."""


class Signature(NamedTuple):
    """The function of a phase, from the raw columns to its tensors.

    Attributes:
      tensors: the tensors of the traced preprocessing function, by name.
      replacements: the results of earlier phases, by the name of the tensor that each replaces.
    """

    tensors: Mapping[str, tf.Tensor]
    replacements: Mapping[str, tf.Tensor]


class _Columns(NamedTuple):
    data: Pass
    keys: tuple[str, ...]


class Interpreter(nodes.Visitor):
    """Makes a deferred value of each operation. Nothing is computed while the graph is visited.

    Args:
      start: opens the data for a phase.
      folder: the folder for vocabularies, until they are part of the transform graph.
    """

    def __init__(self, start: Callable[[Signature], Reading], folder: str) -> None:
        self._start = start
        self._folder = folder

    def validate_value(self, value: Any) -> None:
        """Accepts every value: part of TFT's interface."""

    def visit(self, operation: nodes.OperationDef, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values of an operation.

        Raises:
          UnsupportedError: it is not among those that are implemented here.
        """
        implement = _IMPLEMENTATIONS.get(type(operation))
        if implement is None:
            raise UnsupportedError(f"the preprocessing function needs {type(operation).__name__}")
        outputs = implement(self, operation, *inputs)
        return outputs if isinstance(outputs, tuple) and not isinstance(outputs, _Columns) else (outputs,)

    def input(self, operation: beam_nodes.ExtractInputForSavedModel) -> None:
        """The data, of which there is only one source."""

    def saved_model(self, operation: beam_nodes.CreateSavedModel, *bindings: Deferred) -> Deferred:
        """The function of a phase: its tensors, and the results of earlier phases."""
        return Deferred(lambda: Signature(operation.output_signature, dict(binding.get() for binding in bindings)))

    def apply(self, operation: beam_nodes.ApplySavedModel, saved_model: Deferred, data: None) -> Pass:
        """A pass over the data with the function of a phase."""
        return Pass(lambda: self._start(saved_model.get()))

    def extract(self, operation: beam_nodes.ExtractFromDict, source: Pass | Deferred) -> _Columns | Deferred:
        """Some tensors of a pass, or one of several results."""
        if isinstance(source, Pass):
            return _Columns(source, operation.keys)
        return Deferred(lambda: source.get()[operation.keys])

    def binding(self, operation: beam_nodes.CreateTensorBinding, value: Deferred) -> Deferred:
        """A result as the tensor that represents it in the graph."""
        dtype = tf.dtypes.as_dtype(operation.dtype_enum)
        return Deferred(lambda: (operation.tensor_name, tf.constant(value.get(), dtype)))

    def accumulate(self, operation: analyzer_nodes.CacheableCombineAccumulate, columns: _Columns) -> Deferred:
        """An accumulator fed with some tensors of a pass."""
        return _accumulate(operation.combiner, columns)

    def accumulate_packed(self, operation: analyzer_nodes.PackedCombineAccumulate, data: Pass) -> Deferred:
        """Several accumulators, by label."""
        accumulators = {
            packed.label: _accumulate(packed.combiner, _Columns(data, packed.keys)) for packed in operation.combiners
        }
        return Deferred(lambda: {label: accumulator.get() for label, accumulator in accumulators.items()})

    def merge(self, operation: analyzer_nodes.CacheableCombineMerge, accumulator: Deferred) -> Deferred:
        """The outputs of an accumulator."""
        return Deferred(lambda: _outputs(operation.combiner, [accumulator.get()]))

    def merge_packed(self, operation: analyzer_nodes.PackedCombineMerge, keyed: Deferred) -> Deferred:
        """The outputs of several accumulators, by label."""

        def merge() -> dict[str, Any]:
            accumulators = keyed.get()
            return {
                packed.label: _outputs(packed.combiner, [value for key, value in accumulators if (key,) == tuple(packed.keys)])
                for packed in operation.combiners
            }

        return Deferred(merge)

    def add_key(self, operation: analyzer_nodes.AddKey, value: Deferred) -> Deferred:
        """A value with its label."""
        return Deferred(lambda: (operation.key, value.get()))

    def flatten(self, operation: beam_nodes.Flatten, *values: Deferred) -> Deferred:
        """Several values as a list."""
        return Deferred(lambda: [value.get() for value in values])

    def split(
        self,
        operation: analyzer_nodes.ExtractCombineMergeOutputs | analyzer_nodes.ExtractPackedCombineMergeOutputs,
        outputs: Deferred,
    ) -> tuple[Deferred, ...]:
        """The outputs of an accumulator one by one."""
        return tuple(Deferred(partial(_item, outputs, index)) for index in range(operation.num_outputs))

    def vocabulary_accumulate(self, operation: analyzer_nodes.VocabularyAccumulate, columns: _Columns) -> Deferred:
        """How often each token occurs, in a Counter."""
        if len(columns.keys) != 1:
            raise UnsupportedError("a vocabulary is not ordered by frequency")
        (key,) = columns.keys

        def add(counts: Counter[bytes | int], batch: Batch) -> Counter[bytes | int]:
            counts.update(batch[key].tolist())
            return counts

        return columns.data.accumulate(Accumulator(f"tokens of {key}", Counter, add, _total))

    def vocabulary_merge(self, operation: analyzer_nodes.VocabularyMerge, counts: Deferred) -> Deferred:
        """Pairs of count and token."""
        return Deferred(lambda: [(count, token) for token, count in counts.get().items()])

    def vocabulary_count(self, operation: analyzer_nodes.VocabularyCount, counts: Deferred) -> Deferred:
        """The size of the vocabulary; an empty one is written with a dummy."""
        return Deferred(lambda: np.int64(max(len(counts.get()), 1)))

    def vocabulary_prune(self, operation: analyzer_nodes.VocabularyPrune, counts: Deferred) -> Deferred:
        """The pairs of frequent tokens, of all or of each key, in descending order if those of all are limited in number."""

        def frequent(threshold: float) -> list[tuple[int, bytes]]:
            pairs = [(count, token) for count, token in counts.get() if count >= threshold]
            if operation.input_dtype != tf.string.name:
                pairs = [(count, str(token).encode()) for count, token in pairs]
            return pairs

        def of_all() -> list[tuple[int, bytes]]:
            pairs = frequent(operation.frequency_threshold)
            if operation.top_k is None:
                return pairs
            return _or_dummy(heapq.nlargest(operation.top_k, pairs), operation.input_dtype)

        def of_each_key() -> list[tuple[int, bytes]]:
            by_key = defaultdict(list)
            for pair in frequent(operation.coverage_frequency_threshold):
                by_key[operation.key_fn(pair[1])].append(pair)
            most = operation.coverage_top_k
            return [pair for pairs in by_key.values() for pair in (pairs if most is None else heapq.nlargest(most, pairs))]

        if operation.key_fn is None:
            return Deferred(of_all)
        return Deferred(lambda: list(dict.fromkeys([*of_all(), *of_each_key()])))

    def vocabulary_write(
        self, operation: analyzer_nodes.VocabularyOrderAndWrite, counts: Deferred, *reserved: Deferred
    ) -> Deferred:
        """The path of the file of tokens."""
        if reserved or operation.file_format != "text":
            raise UnsupportedError("a vocabulary has reserved tokens or is not written as text")

        def write() -> npt.NDArray[Any]:
            pairs = counts.get()
            if operation.fingerprint_shuffle:
                pairs = sorted(pairs, key=lambda pair: hashlib.sha1(pair[1]).digest())
            elif not operation.input_is_sorted:
                pairs = sorted(pairs, reverse=True)
            path = os.path.join(self._folder, operation.vocab_filename)
            with open(path, "wb") as file:
                for count, token in _or_dummy(pairs, operation.input_dtype):
                    file.write(b"%d %s\n" % (count, token) if operation.store_frequency else token + b"\n")
            return np.array(path)

        return Deferred(write)


def _accumulate(combiner: analyzer_nodes.Combiner, columns: _Columns) -> Deferred:
    name = f"{hashlib.sha256(pickler.dumps(combiner)).hexdigest()} of {', '.join(columns.keys)}"

    def add(state: Any, batch: Batch) -> Any:
        return combiner.add_input(state, tuple(batch[key] for key in columns.keys))

    def merge(states: Sequence[Any]) -> Any:
        return combiner.compact(combiner.merge_accumulators(states))

    return columns.data.accumulate(Accumulator(name, combiner.create_accumulator, add, merge))


def _total(counts: Sequence[Counter[bytes | int]]) -> Counter[bytes | int]:
    total: Counter[bytes | int] = Counter()
    for some in counts:
        total.update(some)
    return total


def _outputs(combiner: analyzer_nodes.Combiner, accumulators: list[Any]) -> Any:
    present = [accumulator for accumulator in (combiner.create_accumulator(), *accumulators) if accumulator is not None]
    return combiner.extract_output(combiner.merge_accumulators(present))


def _item(outputs: Deferred, index: int) -> Any:
    return outputs.get()[index]


def _or_dummy(pairs: list[tuple[int, bytes]], dtype: str) -> list[tuple[int, bytes]]:
    return pairs or [analyzers.get_empy_vocabulary_dummy_value(dtype)]


_IMPLEMENTATIONS: dict[type[nodes.OperationDef], Callable[..., Any]] = {
    beam_nodes.ExtractInputForSavedModel: Interpreter.input,
    beam_nodes.CreateSavedModel: Interpreter.saved_model,
    beam_nodes.ApplySavedModel: Interpreter.apply,
    beam_nodes.ExtractFromDict: Interpreter.extract,
    beam_nodes.CreateTensorBinding: Interpreter.binding,
    beam_nodes.Flatten: Interpreter.flatten,
    analyzer_nodes.AddKey: Interpreter.add_key,
    analyzer_nodes.CacheableCombineAccumulate: Interpreter.accumulate,
    analyzer_nodes.CacheableCombineMerge: Interpreter.merge,
    analyzer_nodes.PackedCombineAccumulate: Interpreter.accumulate_packed,
    analyzer_nodes.PackedCombineMerge: Interpreter.merge_packed,
    analyzer_nodes.ExtractCombineMergeOutputs: Interpreter.split,
    analyzer_nodes.ExtractPackedCombineMergeOutputs: Interpreter.split,
    analyzer_nodes.VocabularyAccumulate: Interpreter.vocabulary_accumulate,
    analyzer_nodes.VocabularyMerge: Interpreter.vocabulary_merge,
    analyzer_nodes.VocabularyCount: Interpreter.vocabulary_count,
    analyzer_nodes.VocabularyPrune: Interpreter.vocabulary_prune,
    analyzer_nodes.VocabularyOrderAndWrite: Interpreter.vocabulary_write,
}
