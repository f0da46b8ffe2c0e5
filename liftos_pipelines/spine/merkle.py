"""Merkle trees over a ledger's entries (RFC 6962, section 2.1): roots, inclusion and consistency proofs. Pure.

A leaf is SHA-256(0x00 || content), a node SHA-256(0x01 || left || right); the tree of n leaves splits at the largest
power of two below n. Whoever knows the roots of complete subtrees (the peaks) can go on without the leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Peaks:
    """A growing tree by its complete subtrees alone, the largest first: about log2(n) hashes, whatever n is."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, {len(peaks)} were given")
        self.size = size
        self.peaks = list(peaks)

    def add(self, leaf: bytes) -> None:
        node, rest = leaf, self.size
        while rest & 1:
            node = node_hash(self.peaks.pop(), node)
            rest >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node


class Tree:
    """All complete subtrees of a tree, so that any proof about any earlier size can be given.

    Parameters
    ----------
    size, peaks : of a first part whose leaves are gone; proofs of those leaves cannot be given
    """

    def __init__(self, leaves: Iterable[bytes] = (), *, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.first = self.size = size
        self._nodes: dict[tuple[int, int], bytes] = {}
        begin = 0
        for level, peak in zip((bit for bit in range(size.bit_length())[::-1] if size >> bit & 1), peaks, strict=True):
            self._nodes[level, begin >> level] = peak
            begin += 1 << level
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf: bytes) -> None:
        level, index, node = 0, self.size, leaf
        self._nodes[0, index] = node
        while index & 1:
            node = node_hash(self._nodes[level, index - 1], node)
            level, index = level + 1, index >> 1
            self._nodes[level, index] = node
        self.size += 1

    def root(self, size: int | None = None) -> bytes:
        size = self.size if size is None else size
        return self._range(0, size) if size else EMPTY

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """The audit path of a leaf in the tree of the first `size` leaves.

        Raises
        ------
        ValueError : there is no such leaf, or it is gone
        """
        if not self.first <= position < size <= self.size:
            raise ValueError(f"no entry {position} among the entries {self.first} to {size - 1} of {self.size}")
        path: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if position < middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, earlier: int, size: int) -> list[bytes]:
        """That the tree of the first `size` leaves begins with the tree of the first `earlier` ones.

        Raises
        ------
        ValueError : sizes out of order
        """
        if not 0 < earlier <= size <= self.size:
            raise ValueError(f"no proof from {earlier} to {size} entries; there are {self.size}")
        proof: list[bytes] = []
        low, high, whole = 0, size, True
        while earlier != high:
            middle = low + _split(high - low)
            if earlier <= middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low, whole = middle, False
        if not whole:
            proof.append(self._range(low, high))
        return proof[::-1]

    def _range(self, low: int, high: int) -> bytes:
        width = high - low
        if width & (width - 1) == 0:
            known = self._nodes.get((width.bit_length() - 1, low >> (width.bit_length() - 1)))
            if known is None:
                raise ValueError(f"entries {low} to {high - 1} are retired; their archive can prove them")
            return known
        middle = low + _split(width)
        return node_hash(self._range(low, middle), self._range(middle, high))


def included(leaf: bytes, position: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether a path proves that a leaf stands at a position of a tree with this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= position < size:
        return False
    node, index, last = leaf, position, size - 1
    for sibling in path:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and node == root


def consistent(earlier: int, earlier_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that a tree only grew (RFC 9162, 2.1.4.2)."""
    if earlier == size:
        return earlier_root == root and not proof
    if not 0 < earlier < size or not proof:
        return False
    path = list(proof)
    if earlier & (earlier - 1) == 0:
        path.insert(0, earlier_root)
    index, last = earlier - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and old == earlier_root and new == root


def _split(width: int) -> int:
    """The largest power of two below a width."""
    return 1 << (width - 1).bit_length() - 1
