"""Boosted trees as arrays, and the operations of TensorFlow that answer them as LightGBM does.

Every tree is padded to a complete one, whose nodes have numbers as in a heap: those below node a are 2 a and 2 a + 1 of the
next level, the left one last, as a comparison is 1 there. So a level takes two look-ups by node and one by row, whatever the
trees look like, and no child needs to be stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.training.members.splits import Node, greatest_on_the_left, is_split, missing_side, set_of

_WORD = 32

# What a column holds in the place of NaN, so that nodes send it to the right side; a comparison with NaN is false.
_FILLERS = {"left": np.float32(-np.inf), "right": np.float32(np.nan), "as zero": np.float32(0)}


@dataclass(frozen=True)
class Forest:
    """Boosted trees over numbers and categories.

    Attributes:
      num_outputs: how many numbers a row gets; trees belong to them in turn.
      features: for each level, the condition column that each node looks at, int32 [trees * 2 ** level].
      thresholds: for each level, the greatest value that goes to the left, float32 [trees * 2 ** level].
      leaves: the values of the leaves, float64 [trees * 2 ** levels].
      numbers: the columns of numbers that nodes look at, each with where NaN goes: left, right, or as zero.
      sets: by column of categories, the sets of them that go to the left.

    The condition columns are those of `numbers`, followed by one for each set: 0 for a category in it, otherwise 1.
    """

    num_outputs: int
    features: tuple[npt.NDArray[np.int32], ...]
    thresholds: tuple[npt.NDArray[np.float32], ...]
    leaves: npt.NDArray[np.float64]
    numbers: tuple[tuple[int, str], ...]
    sets: Mapping[int, Sequence[tuple[int, ...]]]

    @classmethod
    def of(cls, dump: Mapping[str, Any], num_numbers: int) -> Forest:
        """Reads the trees of a trained LightGBM.

        Args:
          dump: what `lightgbm.Booster.dump_model` returns. Missing values are NaN there, not zero.
          num_numbers: how many of its columns are numbers; those that follow are categories.
        """
        roots = [tree["tree_structure"] for tree in dump["tree_info"]]
        depth = max(map(_depth, roots), default=0)
        conditions = _Conditions(num_numbers)
        for root in roots:
            conditions.add(root)
        trees = [_CompleteTree.of(root, depth, conditions) for root in roots]
        return cls(
            dump["num_tree_per_iteration"],
            tuple(np.concatenate([tree.columns[level] for tree in trees]) for level in range(depth)),
            tuple(np.concatenate([tree.thresholds[level] for tree in trees]) for level in range(depth)),
            np.concatenate([tree.leaves for tree in trees]) if trees else np.empty(0),
            tuple(conditions.numbers),
            {column: tuple(sets) for column, sets in conditions.sets.items()},
        )

    @property
    def num_trees(self) -> int:
        """How many trees there are."""
        return len(self.leaves) >> len(self.features)

    def __call__(self, numbers: tf.Tensor, categories: tf.Tensor) -> tf.Tensor:
        """Adds up the leaves that rows fall into.

        Args:
          numbers: [N, columns] float32, NaN where missing.
          categories: [N, columns] of integers.

        Returns:
          [N, num_outputs] float32.
        """
        num_rows = tf.shape(numbers)[0]
        node = tf.zeros([num_rows, 1], tf.int32) + np.arange(self.num_trees, dtype=np.int32)
        if self.features:
            values = self._conditions(numbers, categories)
        for level, (features, thresholds) in enumerate(zip(self.features, self.thresholds, strict=True)):
            if level:
                value = tf.gather(values, tf.gather(features, node), batch_dims=1)
                left = value <= tf.gather(thresholds, node)
            else:
                left = tf.gather(values, features, axis=1) <= thresholds
            node = node + node + tf.cast(left, tf.int32)
        # In 64 bits, as LightGBM adds them up.
        by_tree = tf.reshape(tf.gather(self.leaves, node), [num_rows, -1, self.num_outputs])
        return tf.cast(tf.reduce_sum(by_tree, axis=1), tf.float32)

    def _conditions(self, numbers: tf.Tensor, categories: tf.Tensor) -> tf.Tensor:
        """The columns that nodes compare, [N, numbers + sets] float32."""
        parts = []
        if self.numbers:
            columns = np.array([column for column, _ in self.numbers], np.int32)
            fillers = np.array([_FILLERS[missing] for _, missing in self.numbers])
            chosen = tf.gather(numbers, columns, axis=1)
            parts.append(tf.where(tf.math.is_nan(chosen), fillers, chosen))
        if self.sets:
            parts.append(self._outside(categories))
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def _outside(self, categories: tf.Tensor) -> tf.Tensor:
        """Whether a row's category is outside each of the sets, [N, sets] float32, 0 or 1.

        Of each category, a row of words has a bit for each set, padded to whole words: few look-ups for many sets.
        """
        columns = np.array(list(self.sets), np.int32)
        tables = [_membership(sets) for sets in self.sets.values()]
        # The last row of a table is for all categories that are in none of its sets.
        last = np.array([len(table) - 1 for table in tables], np.int32)
        index = tf.gather(tf.cast(categories, tf.int32), columns, axis=1)
        index = tf.unstack(tf.where(index < 0, last, tf.minimum(index, last)), axis=1)
        words = tf.concat([tf.gather(table, row) for table, row in zip(tables, index, strict=True)], axis=1)
        bits = tf.bitwise.right_shift(words[:, :, tf.newaxis], np.arange(_WORD, dtype=np.int32))
        outside = 1 - tf.bitwise.bitwise_and(bits, 1)
        return tf.cast(tf.reshape(outside, [-1, _WORD * words.shape[1]]), tf.float32)


class _Conditions:
    """The different columns that nodes compare, as they are found."""

    def __init__(self, num_numbers: int) -> None:
        self._num_numbers = num_numbers
        self.numbers: dict[tuple[int, str], int] = {}
        self.sets: dict[int, dict[tuple[int, ...], int]] = {}

    def add(self, node: Node) -> None:
        """Finds the columns of a node and of those below it."""
        if is_split(node):
            self._look_up(node)
            self.add(node["left_child"])
            self.add(node["right_child"])

    def of(self, node: Node) -> tuple[int, np.float32]:
        """The column of a node, and the greatest value that goes to the left; all have been found."""
        column, position = self._look_up(node)
        if column is None:
            return position, greatest_on_the_left(node)
        widths = [-(-len(self.sets[other]) // _WORD) * _WORD for other in itertools.takewhile(column.__ne__, self.sets)]
        return len(self.numbers) + sum(widths) + position, np.float32(0)

    def _look_up(self, node: Node) -> tuple[int | None, int]:
        """The column of a set, None for a number, and the condition's position among those of its kind."""
        column, categories = node["split_feature"], set_of(node)
        if categories is None:
            return None, self.numbers.setdefault((column, missing_side(node)), len(self.numbers))
        sets = self.sets.setdefault(column - self._num_numbers, {})
        return column - self._num_numbers, sets.setdefault(categories, len(sets))


def _depth(node: Node) -> int:
    return 1 + max(_depth(node["left_child"]), _depth(node["right_child"])) if is_split(node) else 0


@dataclass(frozen=True)
class _CompleteTree:
    """A tree whose leaves all have the same depth: a leaf above it stands at all the places below."""

    columns: list[npt.NDArray[np.int32]]
    thresholds: list[npt.NDArray[np.float32]]
    leaves: npt.NDArray[np.float64]

    @classmethod
    def of(cls, root: Node, depth: int, conditions: _Conditions) -> _CompleteTree:
        tree = cls(
            [np.zeros(2**level, np.int32) for level in range(depth)],
            [np.zeros(2**level, np.float32) for level in range(depth)],
            np.zeros(2**depth),
        )
        tree._fill(root, 0, 0, conditions)
        return tree

    def _fill(self, node: Node, level: int, position: int, conditions: _Conditions) -> None:
        if is_split(node):
            self.columns[level][position], self.thresholds[level][position] = conditions.of(node)
            self._fill(node["right_child"], level + 1, 2 * position, conditions)
            self._fill(node["left_child"], level + 1, 2 * position + 1, conditions)
        else:
            below = len(self.columns) - level
            self.leaves[position << below : (position + 1) << below] = node["leaf_value"]


def _membership(sets: Collection[tuple[int, ...]]) -> npt.NDArray[np.int32]:
    """For each category, and one beyond all of them, the bits of the sets that it is in, [categories + 1, words]."""
    num_words = -(-len(sets) // _WORD)
    words = np.zeros((max(map(max, sets)) + 2, num_words), np.uint32)
    for position, categories in enumerate(sets):
        words[list(categories), position // _WORD] |= np.uint32(1 << position % _WORD)
    return words.view(np.int32)
