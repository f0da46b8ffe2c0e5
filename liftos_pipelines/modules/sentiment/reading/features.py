"""Hashed n-gram features, computed for a whole batch of texts with array operations.

No vocabulary is kept: a feature is a number between 0 and `2**bits - 1`, so a stored model cannot be turned back
into the texts it was trained on. Source: Weinberger et al. (2009), Feature hashing for large scale multitask learning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from liftos_pipelines.modules.sentiment.reading.lexicon import READINGS

CHARACTERS = 6
"""Longest character n-gram; n-grams do not cross a word's boundary but include the space beside it."""

SCALE = 0.4
"""Size of lexicon columns beside n-gram rows of unit length: the ridge penalty pulls on them so much less."""

_SPACE = np.uint32(32)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xFF51AFD7ED558CCD)
_MIX_B = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)
# One salt a length, so that n-grams of different lengths fall into different columns.
_SALT = np.arange(1, CHARACTERS + 1, dtype=np.uint64) * _MIX_B

U64 = NDArray[np.uint64]


def hashed_counts(texts: Sequence[str], *, bits: int) -> sparse.csr_matrix:
    """Counts of character n-grams (1 to 6, within words) and word n-grams (1 and 2), hashed.

    Parameters
    ----------
    texts : (n,), normalised: pieces parted by single spaces
    bits : the matrix has `2**bits` columns

    Returns
    -------
    (n, 2**bits) float32; a text without content has an empty row
    """
    n_columns = 1 << bits
    if not len(texts):
        return sparse.csr_matrix((0, n_columns), dtype=np.float32)
    padded = [f" {text} " for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "replace"), dtype=np.uint32)
    lengths = np.fromiter((len(text) for text in padded), dtype=np.int64, count=len(padded))
    owner = np.repeat(np.arange(len(padded), dtype=np.int64), lengths)
    parts = [*_character_grams(codes, owner), *_word_grams(codes, owner)]
    keys = np.concatenate(
        [(rows << bits) | (_mixed(hashes) & np.uint64(n_columns - 1)).astype(np.int64) for rows, hashes in parts]
    )
    keys.sort()
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if keys.size else keys
    counts = np.diff(np.append(first, keys.size)).astype(np.float32)
    unique = keys[first]
    pointer = np.searchsorted(unique >> bits, np.arange(len(padded) + 1))
    columns = (unique & (n_columns - 1)).astype(np.int32)
    return sparse.csr_matrix((counts, columns, pointer), shape=(len(padded), n_columns))


def weighted(counts: sparse.csr_matrix, idf: NDArray[np.float32]) -> sparse.csr_matrix:
    """Sublinear term frequency times inverse document frequency, rows of unit length."""
    data = (1.0 + np.log(counts.data)) * idf[counts.indices]
    squares = np.zeros(counts.shape[0])
    filled = np.flatnonzero(np.diff(counts.indptr))
    if filled.size:
        squares[filled] = np.add.reduceat(data**2, counts.indptr[filled])
    norms = np.sqrt(np.where(squares > 0, squares, 1.0))
    data = (data / np.repeat(norms, np.diff(counts.indptr))).astype(np.float32)
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)


def inverse_document_frequency(counts: sparse.csr_matrix) -> NDArray[np.float32]:
    """Smoothed idf of each column, `ln((1 + n) / (1 + df)) + 1`; (columns,) float32."""
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    return (np.log((1 + counts.shape[0]) / (1 + documents)) + 1).astype(np.float32)


def gated(readings: NDArray[np.float32], n_languages: int, likely: NDArray[np.float64]) -> NDArray[np.float32]:
    """What the opinion lists say, each language's list counted as far as the text is likely to be in that language.

    Parameters
    ----------
    readings : (n, n_languages * r + s), readings of each language's list, then of the signs all languages share
    likely : (n, n_languages), probability of each language, in the order of the lists

    Returns
    -------
    (n, columns): readings by language times probability; their sum over languages, which one weight serves for all;
    signs, alone and by language; the probabilities themselves, an intercept a language. The shared and the language's
    own copy of a feature are Daume's (2007), Frustratingly easy domain adaptation.
    """
    n = readings.shape[0]
    r = len(READINGS)
    own = readings[:, : n_languages * r].reshape(n, n_languages, r) * likely[:, :, None]
    signs = readings[:, n_languages * r :]
    by_language = signs[:, None, :] * likely[:, :, None]
    parts = [own.reshape(n, -1), own.sum(axis=1), signs, by_language.reshape(n, -1), likely / 2]
    return (SCALE * np.concatenate(parts, axis=1)).astype(np.float32)


def beside(n_grams: sparse.csr_matrix, columns: NDArray[np.float32]) -> sparse.csr_matrix:
    """n-gram features with a few dense columns after them."""
    return sparse.hstack([n_grams, sparse.csr_matrix(columns)], format="csr", dtype=np.float32)


def _character_grams(codes: NDArray[np.uint32], owner: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], U64]]:
    space = codes == _SPACE
    letters = _mixed(codes.astype(np.uint64) + np.uint64(1))
    parts = []
    rolling = letters.copy()
    valid = ~space  # windows whose interior holds no space
    interior = np.ones(codes.size, dtype=bool)
    for n in range(1, CHARACTERS + 1):
        size = codes.size - n + 1
        if size <= 0:
            break
        if n > 1:
            rolling = rolling[:size] * _STEP + letters[n - 1 :]
            if n > 2:
                interior = interior[:size] & ~space[n - 2 : n - 2 + size]
            else:
                interior = interior[:size] & ~(space[:size] & space[1:])
            valid = interior
        at = np.flatnonzero(valid)
        parts.append((owner[at], rolling[at] + _SALT[n - 1]))
    return parts


def _word_grams(codes: NDArray[np.uint32], owner: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], U64]]:
    space = codes == _SPACE
    starts = np.flatnonzero(~space & np.concatenate(([True], space[:-1])))
    if not starts.size:
        return []
    # Place of each character in its word (characters before the first word count from the text's beginning).
    opened = np.zeros(codes.size, dtype=np.int64)
    opened[starts] = starts
    within = (np.arange(codes.size) - np.maximum.accumulate(opened)).astype(np.uint64)
    letters = np.where(space, np.uint64(0), _mixed(codes.astype(np.uint64) + (within << np.uint64(32))))
    words = _mixed(np.add.reduceat(letters, starts))
    rows = owner[starts]
    together = np.flatnonzero(rows[1:] == rows[:-1])
    pairs = words[together] * _STEP + words[together + 1]
    return [(rows, words + _MIX_A), (rows[together], pairs)]


def _mixed(values: U64) -> U64:
    """Finaliser of MurmurHash3 (Appleby, public domain): spreads every bit over the whole number."""
    mixed = values ^ (values >> _SHIFT)
    mixed = mixed * _MIX_A
    mixed = mixed ^ (mixed >> _SHIFT)
    mixed = mixed * _MIX_B
    return mixed ^ (mixed >> _SHIFT)
