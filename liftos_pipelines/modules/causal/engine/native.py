"""The fused log-density as nutpie's compiled model: its threads call machine code, without Python and its lock.

nutpie compiles PyMC graphs into two C functions and a pointer to their data. These are two such functions, compiled
once and kept on disk, around `kernel.logp_grad`; the data are `packing.Packed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from nutpie.compile_pymc import CompiledPyMCModel, address_as_void_pointer

from liftos_pipelines.modules.causal.engine.kernel import logp_grad
from liftos_pipelines.modules.causal.engine.packing import Packed
from liftos_pipelines.modules.causal.engine.transforms import FloatArray

_REALS = types.CPointer(types.double)
NOT_FINITE = 3
"""What nutpie takes for the end of a trajectory, not of the sampling."""


@numba.cfunc(types.int64(types.uint64, _REALS, _REALS, _REALS, types.voidptr), cache=True)
def _density(dimension, at, gradient, value, user):  # type: ignore[no-untyped-def]
    where = numba.carray(user, (4,), np.uint64)
    pool = numba.carray(address_as_void_pointer(where[0]), (where[1],), np.float64)
    layout = numba.carray(address_as_void_pointer(where[2]), (where[3],), np.int64)
    slope = numba.carray(gradient, (dimension,))
    found = logp_grad(numba.carray(at, (dimension,)), slope, pool, layout)
    numba.carray(value, (1,))[0] = found
    return 0 if np.isfinite(found) and np.all(np.isfinite(slope)) else NOT_FINITE


@numba.cfunc(types.int64(types.uint64, types.uint64, _REALS, _REALS, types.voidptr), cache=True)
def _unchanged(dimension, size, at, out, user):  # type: ignore[no-untyped-def]
    source, target = numba.carray(at, (dimension,)), numba.carray(out, (size,))
    for i in range(dimension):
        target[i] = source[i]
    return 0


def compiled_model(packed: Packed, start: Callable[[int], FloatArray]) -> CompiledPyMCModel:
    """nutpie's model of a packed log-density, with one variable `z` (n_dimensions,), unconstrained.

    Parameters
    ----------
    start : from a chain's seed to the point where it begins
    """
    pool, layout, size = packed.pool, packed.layout, packed.dimension
    pointers = np.array([pool.ctypes.data, pool.size, layout.ctypes.data, layout.size], dtype=np.uint64)
    held: Any = {"pool": pool, "layout": layout}  # the pointers are good as long as the arrays live
    return CompiledPyMCModel(
        dims={"z": ("parameter",)},
        _n_dim=size,
        _coords={"parameter": np.arange(size)},
        _shapes={"z": (size,)},
        compiled_logp_func=_density,
        compiled_expand_func=_unchanged,
        initial_point_func=start,
        shared_data=held,
        user_data=pointers,
        n_expanded=size,
        shape_info=(["z"], [slice(0, size)], [(size,)]),
        logp_func=None,
        expand_func=None,
    )
