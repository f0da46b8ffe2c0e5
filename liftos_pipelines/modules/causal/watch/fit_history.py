"""What one full fit said, in a form that later fits can be held against: the table `causal/fit_history`.

Returns are taken over the weeks of the first comparable fit, so that a change of spend or of the weeks' mix is not
taken for a change of response. Fits are comparable when they have the same first week, channels, geos and model: then
each has seen all that the one before had seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.draws import Draws
from liftos_pipelines.modules.causal.engine.fit import spec_of
from liftos_pipelines.modules.causal.engine.reading import last_week, read_fitted
from liftos_pipelines.modules.causal.engine.transforms import FloatArray, carry_weights
from liftos_pipelines.modules.causal.watch.update import is_roi
from liftos_pipelines.tables import table

if TYPE_CHECKING:
    import arviz as az

RETURN, MEAN_LAG, HALF, EFFECT = "return", "mean_lag", "half_saturation", "effect"
"""Return on spend, or contribution where that is unknown; weeks that an exposure waits on average; exposure, in medians
of the channel, at half of the greatest response; what a treatment, event or holiday added to the outcome."""
LOGGED = (RETURN, HALF)
HALVED = ("hill", "michaelis_menten")
RUN_SETTINGS = {"seed", "chains", "draws", "tune", "sampler", "target_accept", "holdout_weeks", "folds"}
RUN_SETTINGS |= {"plan_weeks", "plan_band", "plan"}
SCHEMA: dict[str, pl.DataType] = table("causal/fit_history").columns | {
    "weeks": pl.Int64(),
    "log_mean": pl.Float64(),
    "log_sd": pl.Float64(),
    "log_mcse": pl.Float64(),
}


def version_of(data: az.InferenceData) -> str:
    """The registry's number of a fit where it has one, else a fingerprint of its draws."""
    if "version" in data.attrs:
        return str(data.attrs["version"])
    return hashlib.sha256(np.ascontiguousarray(data.posterior["sigma"].to_numpy()).tobytes()).hexdigest()[:16]


def comparable_of(data: az.InferenceData) -> str:
    """Fingerprint of what successive fits must share."""
    spec = spec_of(data).model_dump(mode="json")
    model = {name: value for name, value in spec.items() if name not in RUN_SETTINGS}
    shared = [data.attrs[name] for name in ("first_week", "channels", "geos", "controls")]
    return hashlib.sha256(json.dumps([model, shared], sort_keys=True).encode()).hexdigest()[:16]


def history_rows(data: az.InferenceData, panel: pl.DataFrame, history: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Rows of one fit; a fit that `history` has keeps the time it was first seen at.

    Parameters
    ----------
    history : rows so far, perhaps of this fit too
    now : when the fit is first seen
    """
    fitted = read_fitted(data, panel)
    version, comparable, last = version_of(data), comparable_of(data), last_week(data)
    before = history.filter(pl.col("comparable") == comparable)
    reference = min([last, *before["last_week"].drop_nulls().to_list()])
    seen = before.filter(pl.col("version") == version)["fitted_at"]
    shared = {
        "version": version,
        "fitted_at": seen[0] if seen.len() else now,
        "first_week": fitted.design.weeks[0],
        "last_week": last,
        "comparable": comparable,
        "weeks": len(fitted.design.weeks),
    }
    shape = (data.posterior.sizes["chain"], data.posterior.sizes["draw"])
    rows = [
        shared | {"quantity": f"{kind}:{name}", "kind": kind, "channel": name} | _described(values, kind, shape)
        for kind, name, values in _quantities(fitted, reference)
    ]
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA)


def _quantities(fitted: Fitted, reference: date) -> Iterator[tuple[str, str, FloatArray]]:
    design, draws, structure = fitted.design, fitted.draws, fitted.media.structure
    early = sum(week <= reference for week in design.weeks)
    lags = np.arange(structure.max_lag + 1)
    for c, name in enumerate(design.channels):
        gained = _gained(fitted, draws, c, early)
        yield RETURN, name, gained / float(design.spend[c, :, :early].sum()) if is_roi(design, c) else gained
        form = draws.form[:, c]
        if structure.carry[c] != "none":
            yield MEAN_LAG, name, carry_weights(structure.carry[c], form[:, 0], form[:, 1], structure.max_lag) @ lags
        if structure.curve[c] in HALVED:
            yield HALF, name, form[:, 2]
    if draws.beta is None or design.log:
        return
    unit = np.broadcast_to(design.unit, design.outcome.shape).ravel()
    for treatment in design.treatments:
        yield EFFECT, treatment.name, draws.beta[:, list(treatment.columns)] @ (unit @ treatment.change)
    # The part within weeks sums to nothing per head over geos, yet not in outcome: all columns of a name count.
    names = [name.removesuffix("_within") for name in design.columns]
    for name in dict.fromkeys(n for n in names if n.startswith(("event_", "holiday_"))):
        mine = [i for i, own in enumerate(names) if own == name]
        yield EFFECT, name, draws.beta[:, mine] @ (unit @ design.baseline[:, mine])


def _gained(fitted: Fitted, draws: Draws, channel: int, weeks: int) -> FloatArray:
    worth, size = fitted.worth()[:, :weeks], max(1, 100_000 // fitted.design.outcome.size)
    parts = []
    for begin in range(0, len(draws), size):
        gained = fitted.gained(draws.take(slice(begin, begin + size)), channel)[:, :, :weeks]
        parts.append(np.einsum("sgt,gt->s", gained, worth))
    return np.concatenate(parts)


def _described(values: FloatArray, kind: str, shape: tuple[int, int]) -> dict[str, float | None]:
    import arviz as az

    def of(array: FloatArray, prefix: str) -> dict[str, float | None]:
        error = float(array.std() / np.sqrt(az.ess(array.reshape(shape), method="mean")))
        return {
            f"{prefix}mean": float(array.mean()),
            f"{prefix}sd": float(array.std()),
            f"{prefix}mcse": error if np.isfinite(error) else None,
        }

    logged = of(np.log(np.maximum(values, 1e-300)), "log_") if kind in LOGGED else {}
    return of(values, "") | logged
