"""A stored posterior beside the panel: what every table downstream of the fit begins with."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.draws import Media
from liftos_pipelines.modules.causal.engine.fit import draws_of, scales_of, spec_of
from liftos_pipelines.modules.causal.engine.structure import resolve
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.panel import (
    CONTROL,
    EXPOSURE,
    FREQUENCY,
    ORGANIC,
    REACH,
    SPEND,
    PanelError,
)

if TYPE_CHECKING:
    import arviz as az


def is_fitted(data: az.InferenceData) -> bool:
    """Whether there is a posterior at all, and not only the note that there was no source."""
    return "posterior" in data.groups()


def last_week(data: az.InferenceData) -> date:
    """Last week that the posterior has seen."""
    return date.fromisoformat(data.attrs["last_week"])


def read_fitted(data: az.InferenceData, panel: pl.DataFrame) -> Fitted:
    """The posterior on the weeks it was fitted on.

    Raises
    ------
    PanelError : the panel no longer has those weeks, geos or channels
    """
    first, last = date.fromisoformat(data.attrs["first_week"]), last_week(data)
    seen = of_posterior(data, panel).filter(pl.col("date").is_between(first, last))
    spec = spec_of(data)
    design = build_design(seen, spec, scales=scales_of(data))
    require_same(data, design)
    media = Media(design, resolve(spec, design.channels, design.frequency))
    return Fitted(design=design, media=media, draws=draws_of(data, media, spec))


def of_posterior(data: az.InferenceData, panel: pl.DataFrame) -> pl.DataFrame:
    """The panel with the posterior's channels and controls only: what a served model has never heard of waits.

    Columns that it knows and the panel has lost are for `require_same` to name.
    """
    named, paid = json.loads(data.attrs["channels"]), int(data.attrs["paid"])
    known = [prefix + name for name in named[:paid] for prefix in (SPEND, EXPOSURE, REACH, FREQUENCY)]
    known += [ORGANIC + name for name in named[paid:]]
    known += [CONTROL + name for name in json.loads(data.attrs["controls"])]
    prefixes = (SPEND, EXPOSURE, REACH, FREQUENCY, ORGANIC, CONTROL)
    base = [column for column in panel.columns if not column.startswith(prefixes)]
    return panel.select(*base, *(column for column in known if column in panel.columns))


def require_same(data: az.InferenceData, design: Design) -> None:
    """Refuse a design whose weeks, geos, channels or controls are not the posterior's.

    Raises
    ------
    PanelError : naming what differs
    """
    for what, stored, now in (
        ("channels", json.loads(data.attrs["channels"]), list(design.channels)),
        ("geos", json.loads(data.attrs["geos"]), list(design.geos)),
        ("controls", json.loads(data.attrs["controls"]), list(design.controls)),
    ):
        if stored != now:
            raise PanelError(
                f"the panel's {what} are {', '.join(now)}, the posterior's {', '.join(stored)}: refit the model"
            )
    if len(design.weeks) != int(data.attrs["weeks"]):
        raise PanelError(
            f"the panel has {len(design.weeks)} of the {data.attrs['weeks']} weeks of the posterior: refit the model"
        )
