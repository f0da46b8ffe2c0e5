"""The fused log-density as nutpie's compiled model: its threads call machine code, without Python and its lock.

nutpie compiles PyMC graphs into two C functions and a pointer to their data. These are two such functions, compiled
once and kept on disk, around `kernel.logp_grad`; the data are `packing.Packed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import types
from nutpie.compile_pymc import CompiledPyMCModel, address_as_void_pointer

from liftos_pipelines.modules.causal.engine.kernel import logp_grad
from liftos_pipelines.modules.causal.engine.packing import Packed
from liftos_pipelines.modules.causal.engine.transforms import FloatArray

_REALS = types.CPointer(types.double)
RIDGE = 1e-6
NOT_FINITE = 3
"""What nutpie takes for the end of a trajectory, not of the sampling."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where and how wide a nearby posterior lies: sampled are the w of z = centre + spread w.

    `centre` (n_dimensions,), `spread` (n_dimensions, n_dimensions) lower-triangular. In such units a posterior is
    nearly round, and an adaptation of a hundred steps is enough.
    """

    centre: FloatArray
    spread: FloatArray

    @classmethod
    def around(cls, draws: FloatArray) -> Frame:
        """The frame of unconstrained draws (n_draws, n_dimensions)."""
        covariance = np.atleast_2d(np.cov(draws.T))
        # As few draws as dimensions leave directions without width.
        covariance += RIDGE * np.diag(np.diag(covariance) + RIDGE)
        return cls(centre=draws.mean(axis=0), spread=np.ascontiguousarray(np.linalg.cholesky(covariance)))


@numba.njit(cache=True, error_model="numpy")
def _placed(where, w):  # type: ignore[no-untyped-def]
    """z of w; w itself without a frame."""
    n = w.size
    z = w.copy()
    if where[4] != 0:
        centre = numba.carray(address_as_void_pointer(where[4]), (n,), np.float64)
        spread = numba.carray(address_as_void_pointer(where[5]), (n, n), np.float64)
        for i in range(n):
            total = centre[i]
            for j in range(i + 1):
                total += spread[i, j] * w[j]
            z[i] = total
    return z


@numba.cfunc(types.int64(types.uint64, _REALS, _REALS, _REALS, types.voidptr), cache=True)
def _density(dimension, at, gradient, value, user):  # type: ignore[no-untyped-def]
    where = numba.carray(user, (6,), np.uint64)
    pool = numba.carray(address_as_void_pointer(where[0]), (where[1],), np.float64)
    layout = numba.carray(address_as_void_pointer(where[2]), (where[3],), np.int64)
    slope = numba.carray(gradient, (dimension,))
    found = logp_grad(_placed(where, numba.carray(at, (dimension,))), slope, pool, layout)
    if where[4] != 0:
        spread = numba.carray(address_as_void_pointer(where[5]), (dimension, dimension), np.float64)
        for j in range(dimension):
            # Rows above j are still the slope by z: the matrix is triangular, so it can be overwritten in this order.
            total = 0.0
            for i in range(j, dimension):
                total += spread[i, j] * slope[i]
            slope[j] = total
    numba.carray(value, (1,))[0] = found
    return 0 if np.isfinite(found) and np.all(np.isfinite(slope)) else NOT_FINITE


@numba.cfunc(types.int64(types.uint64, types.uint64, _REALS, _REALS, types.voidptr), cache=True)
def _expand(dimension, size, at, out, user):  # type: ignore[no-untyped-def]
    where, target = numba.carray(user, (6,), np.uint64), numba.carray(out, (size,))
    z = _placed(where, numba.carray(at, (dimension,)))
    for i in range(dimension):
        target[i] = z[i]
    return 0


def compiled_model(packed: Packed, start: Callable[[int], FloatArray], frame: Frame | None = None) -> CompiledPyMCModel:
    """nutpie's model of a packed log-density, with one variable `z` (n_dimensions,), unconstrained.

    Parameters
    ----------
    start : from a chain's seed to the point where it begins; in the units of `frame`, where there is one
    """
    pool, layout, size = packed.pool, packed.layout, packed.dimension
    ends = [0, 0] if frame is None else [frame.centre.ctypes.data, frame.spread.ctypes.data]
    pointers = np.array([pool.ctypes.data, pool.size, layout.ctypes.data, layout.size, *ends], dtype=np.uint64)
    # The pointers are good as long as the arrays live.
    held: Any = {"pool": pool, "layout": layout, "frame": frame}
    return CompiledPyMCModel(
        dims={"z": ("parameter",)},
        _n_dim=size,
        _coords={"parameter": np.arange(size)},
        _shapes={"z": (size,)},
        compiled_logp_func=_density,
        compiled_expand_func=_expand,
        initial_point_func=start,
        shared_data=held,
        user_data=pointers,
        n_expanded=size,
        shape_info=(["z"], [slice(0, size)], [(size,)]),
        logp_func=None,
        expand_func=None,
    )
