"""Arrays that grow at the end and are shared: a longer version writes behind what the shorter ones see.

An index over 50,000 vectors holds 77 MB; copying them for each new memory would cost more than the search. Readers of
an older version are undisturbed, in any thread: what they see is never written again.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPARE = 1.5


class Growing:
    """The first `n` rows of a buffer that has room for more. `view` is what this version sees."""

    def __init__(self, rows: NDArray[Any]) -> None:
        self._buffer = np.ascontiguousarray(rows)
        self._used = [len(rows)]
        self._lock = threading.Lock()
        self.n = len(rows)

    @property
    def view(self) -> NDArray[Any]:
        """(n, ...), shared memory: not to be written to."""
        return self._buffer[: self.n]

    def extended(self, rows: NDArray[Any]) -> Growing:
        """With these rows behind; copies only when the room is used up, or another version took it."""
        n = self.n + len(rows)
        grown = Growing.__new__(Growing)
        grown.n, grown._lock = n, self._lock
        with self._lock:
            if self._used[0] == self.n and n <= len(self._buffer):
                self._buffer[self.n : n] = rows
                self._used[0] = n
                grown._buffer, grown._used = self._buffer, self._used
                return grown
        buffer = np.empty((int(n * _SPARE) + 64, *self._buffer.shape[1:]), dtype=self._buffer.dtype)
        buffer[: self.n] = self._buffer[: self.n]
        buffer[self.n : n] = rows
        grown._buffer, grown._used, grown._lock = buffer, [n], threading.Lock()
        return grown


class Names:
    """Names as small numbers, for filters that compare numbers instead of texts. Numbers are never given anew."""

    def __init__(self, known: dict[str, int], codes: Growing) -> None:
        self._known, self._codes = known, codes

    @classmethod
    def of(cls, values: list[str | None]) -> Names:
        known: dict[str, int] = {}
        return cls(known, Growing(cls._coded(known, values)))

    @staticmethod
    def _coded(known: dict[str, int], values: list[str | None]) -> NDArray[np.int32]:
        codes = [-1 if value is None else known.setdefault(value, len(known)) for value in values]
        return np.array(codes, dtype=np.int32)

    @property
    def codes(self) -> NDArray[np.int32]:
        """(n,), -1 where there is no name."""
        return self._codes.view

    @property
    def known(self) -> dict[str, int]:
        """Number by name; a longer version may have added names that no row here has."""
        return self._known

    def among(self, wanted: frozenset[str]) -> NDArray[np.bool_]:
        """(n,) whether a row has one of the names; all False for names that nothing has."""
        numbers = [self._known[name] for name in wanted if name in self._known]
        if len(numbers) == 1:
            return self.codes == numbers[0]
        return np.isin(self.codes, numbers) if numbers else np.zeros(self._codes.n, dtype=bool)

    def extended(self, values: list[str | None]) -> Names:
        return Names(self._known, self._codes.extended(self._coded(self._known, values)))
