"""LiftOS pipelines: a growth-intelligence platform as a Dagster code location."""

import os

# One thread a process unless said otherwise: several workers with a pool of threads each only wait for one another.
# Read when numpy is first imported, so it stands before any import of this package.
for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")
