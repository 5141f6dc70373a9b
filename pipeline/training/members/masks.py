"""Boosted trees as bits: what the value of each column rules out, in all trees at once.

A row that goes to the right at a node falls into none of the leaves on its left, and the leaf that it falls into is the first
that no node rules out, whatever the order in which nodes are looked at (Lucchese et al., QuickScorer, SIGIR 2015). What the
nodes of a column rule out together follows from where a value lies between their thresholds: it is a row of a table, with a
mask for each tree. So an input takes one look-up a column, and no level of the trees waits for the one above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.training.members.forest import Forest
from pipeline.training.members.splits import Node, greatest_on_the_left, is_split, missing_side, set_of

# Beyond, a table would take more time or memory than going down each tree.
_MOST_COLUMNS, _MOST_BYTES = 64, 2**24
# Of thousands of rows at once, all masks of all trees are in memory.
_MOST_BYTES_OF_A_ROW = 2**17


@dataclass(frozen=True)
class NumberPlaces:
    """The rows of the table for a column of numbers: one up to each threshold, one beyond them, and one for NaN.

    Attributes:
      column: the column's position among the numbers.
      start: the first of its rows.
      thresholds: the greatest values that go to the left in its nodes, ascending, float32.
    """

    column: int
    start: int
    thresholds: npt.NDArray[np.float32]

    @property
    def missing(self) -> int:
        """The row for NaN."""
        return self.start + len(self.thresholds) + 1

    @property
    def end(self) -> int:
        """The row after the last one."""
        return self.missing + 1

    def on_the_right(self, node: Node) -> npt.NDArray[np.bool_]:
        """Which of its rows a node sends to the right."""
        greatest, missing = greatest_on_the_left(node), missing_side(node)
        beyond = np.append(self.thresholds, np.float32(np.inf)) > greatest
        beyond[-1] = True
        return np.append(beyond, np.float32(0) > greatest if missing == "as zero" else missing == "right")


@dataclass(frozen=True)
class CategoryPlaces:
    """The rows of the table for a column of categories: one for unknown ones, one for each, and another for unknown ones.

    Attributes:
      column: the column's position among the categories.
      start: the first of its rows.
      greatest: the greatest category that is in a set.
    """

    column: int
    start: int
    greatest: int

    @property
    def end(self) -> int:
        """The row after the last one."""
        return self.start + self.greatest + 3

    def on_the_right(self, node: Node) -> npt.NDArray[np.bool_]:
        """Which of its rows a node sends to the right."""
        outside = np.ones(self.end - self.start, np.bool_)
        outside[np.add(set_of(node) or (), 1)] = False
        return outside


@dataclass(frozen=True)
class Masks:
    """Boosted trees over numbers and categories, whose leaves are the bits of a mask, the leftmost leaf the lowest bit.

    Attributes:
      num_outputs: how many numbers a row gets; trees belong to them in turn.
      table: for each place of a value, and each tree, the leaves that it does not rule out, int32 or int64 [places, trees].
      leaves: the values of the leaves, float64 [trees, bits of a mask].
      numbers: the columns of numbers that nodes look at.
      categories: the columns of categories that they look at. A column may be there twice: masks are halved again and again.
    """

    num_outputs: int
    table: npt.NDArray[np.signedinteger[Any]]
    leaves: npt.NDArray[np.float64]
    numbers: tuple[NumberPlaces, ...]
    categories: tuple[CategoryPlaces, ...]

    @classmethod
    def of(cls, dump: Mapping[str, Any], num_numbers: int) -> Masks | None:
        """Reads the trees of a trained LightGBM, of at most 64 leaves each.

        Args:
          dump: what `lightgbm.Booster.dump_model` returns. Missing values are NaN there, not zero.
          num_numbers: how many of its columns are numbers; those that follow are categories.

        Returns:
          None where nothing is split, or so much that a `Forest` is faster or smaller.
        """
        roots = [tree["tree_structure"] for tree in dump["tree_info"]]
        places = _places(roots, num_numbers)
        bits: np.dtype[np.unsignedinteger[Any]] = np.dtype("u4" if max(map(_num_leaves, roots), default=0) <= 32 else "u8")
        num_places = max((each.end for each in places.values()), default=0)
        if not 0 < len(places) <= _MOST_COLUMNS or num_places * len(roots) * bits.itemsize > _MOST_BYTES:
            return None
        if _halvable(len(places)) * len(roots) * bits.itemsize > _MOST_BYTES_OF_A_ROW:
            return None
        table = np.full((num_places, len(roots)), np.iinfo(bits).max, bits)
        leaves = np.zeros((len(roots), 8 * bits.itemsize))
        for number, root in enumerate(roots):
            _fill(root, places, table[:, number], leaves[number], 0)
        looked_at = list(places.values())
        looked_at += looked_at[:1] * (_halvable(len(looked_at)) - len(looked_at))
        return cls(
            dump["num_tree_per_iteration"],
            table.view(f"int{8 * bits.itemsize}"),
            leaves,
            tuple(each for each in looked_at if isinstance(each, NumberPlaces)),
            tuple(each for each in looked_at if isinstance(each, CategoryPlaces)),
        )

    @property
    def num_trees(self) -> int:
        """How many trees there are."""
        return len(self.leaves)

    def __call__(self, numbers: tf.Tensor, categories: tf.Tensor) -> tf.Tensor:
        """Adds up the leaves that rows fall into. Arguments and result are those of `Forest`."""
        places = [_number_places(self.numbers, numbers)] if self.numbers else []
        places += [_category_places(self.categories, categories)] if self.categories else []
        masks = tf.gather(self.table, tf.concat(places, axis=0) if len(places) > 1 else places[0])
        while masks.shape[0] % 2 == 0:
            masks = tf.bitwise.bitwise_and(*tf.split(masks, 2))
        mask, *others = tf.unstack(masks)
        for other in others:
            mask = tf.bitwise.bitwise_and(mask, other)
        # The bits up to the lowest one that is set.
        lowest = tf.cast(tf.raw_ops.PopulationCount(x=tf.bitwise.bitwise_xor(mask, mask - 1)), tf.int32)
        first = np.arange(self.num_trees, dtype=np.int32) * self.leaves.shape[1] - 1
        values = tf.gather(self.leaves.ravel(), lowest + first)
        if self.num_outputs > 1:
            values = tf.reshape(values, [-1, self.num_trees // self.num_outputs, self.num_outputs])
        # In 64 bits, as LightGBM adds them up.
        return tf.cast(tf.reduce_sum(values, axis=1, keepdims=self.num_outputs == 1), tf.float32)


def forest_of(dump: Mapping[str, Any], num_numbers: int) -> Forest | Masks:
    """The trees of a trained LightGBM in the form that answers faster. Arguments are those of `Masks.of`."""
    return Masks.of(dump, num_numbers) or Forest.of(dump, num_numbers)


def _number_places(columns: Sequence[NumberPlaces], numbers: tf.Tensor) -> tf.Tensor:
    """The rows of the table for numbers, [columns, N] int32."""
    values = tf.transpose(tf.gather(numbers, [each.column for each in columns], axis=1))
    most = max(len(each.thresholds) for each in columns)
    padded = [np.pad(each.thresholds, (0, most - len(each.thresholds)), constant_values=np.inf) for each in columns]
    place = tf.raw_ops.LowerBound(sorted_inputs=np.stack(padded), values=values, out_type=tf.int32)
    found = place + _by_column(each.start for each in columns)
    return tf.where(tf.math.is_nan(values), _by_column(each.missing for each in columns), found)


def _category_places(columns: Sequence[CategoryPlaces], categories: tf.Tensor) -> tf.Tensor:
    """The rows of the table for categories, [columns, N] int32."""
    values = tf.transpose(tf.gather(tf.cast(categories, tf.int32), [each.column for each in columns], axis=1))
    known = tf.maximum(tf.minimum(values, _by_column(each.greatest + 1 for each in columns)), -1)
    return known + _by_column(each.start + 1 for each in columns)


def _by_column(values: Iterable[int]) -> npt.NDArray[np.int32]:
    return np.array(list(values), np.int32)[:, np.newaxis]


def _places(roots: Sequence[Node], num_numbers: int) -> dict[int, NumberPlaces | CategoryPlaces]:
    """The rows of the table for each column that nodes look at, by its position in LightGBM's rows."""
    thresholds: dict[int, set[np.float32]] = {}
    greatest: dict[int, int] = {}
    for node in (node for root in roots for node in _splits(root)):
        column, categories = node["split_feature"], set_of(node)
        if categories is None:
            thresholds.setdefault(column, set()).add(greatest_on_the_left(node))
        else:
            greatest[column] = max(greatest.get(column, 0), *categories)
    places: dict[int, NumberPlaces | CategoryPlaces] = {}
    end = 0
    for column in sorted([*thresholds, *greatest]):
        if column in thresholds:
            ascending = np.array(sorted(thresholds[column]), np.float32)
            places[column] = NumberPlaces(column, end, ascending)
        else:
            places[column] = CategoryPlaces(column - num_numbers, end, greatest[column])
        end = places[column].end
    return places


def _splits(node: Node) -> Iterator[Node]:
    if is_split(node):
        yield node
        yield from _splits(node["left_child"])
        yield from _splits(node["right_child"])


def _num_leaves(root: Node) -> int:
    return 1 + sum(1 for _ in _splits(root))


def _fill(
    node: Node,
    places: Mapping[int, NumberPlaces | CategoryPlaces],
    masks: npt.NDArray[np.unsignedinteger[Any]],
    leaves: npt.NDArray[np.float64],
    first: int,
) -> int:
    """Writes what a node and those below it rule out, and their leaves.

    Args:
      node: the node.
      places: as `_places` returns them.
      masks: those of its tree, [places].
      leaves: those of its tree, [bits].
      first: the number of its leftmost leaf.

    Returns:
      The number of the leaf after its last one.
    """
    if not is_split(node):
        leaves[first] = node["leaf_value"]
        return first + 1
    middle = _fill(node["left_child"], places, masks, leaves, first)
    column = places[node["split_feature"]]
    rows = slice(column.start, column.end)
    on_the_left = masks.dtype.type(2**middle - 2**first)
    masks[rows] = np.where(column.on_the_right(node), masks[rows] & ~on_the_left, masks[rows])
    return _fill(node["right_child"], places, masks, leaves, middle)


def _halvable(number: int) -> int:
    """The next number that is a power of two, or three times one."""
    power = 1 << (number - 1).bit_length()
    return power // 4 * 3 if power >= 4 and number <= power // 4 * 3 else power
