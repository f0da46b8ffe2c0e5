"""What a model's report says beyond the stored tables: fit and held-out weeks, carry-over, priors, chances, facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import MOST_DRAWS, Fitted, interval
from liftos_pipelines.modules.causal.checks.heldout import Heldout
from liftos_pipelines.modules.causal.checks.sampling import remedies
from liftos_pipelines.modules.causal.engine.backtest import predict
from liftos_pipelines.modules.causal.engine.prior import MARGIN, PLAIN, effect_scale
from liftos_pipelines.modules.causal.engine.transforms import FloatArray, carry_weights
from liftos_pipelines.modules.causal.spec import ModelSpec

if TYPE_CHECKING:
    import arviz as az

FIT_DRAWS = 300
Z90 = 1.6448536269514722
BAND = (0.05, 0.5, 0.95)


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What was measured on one posterior.

    `fit`: date, observed, low, middle, high, held_low, held_middle, held_high (null where never held out), all geos.
    `geos`: geo, outcome, wmape, inside (share of weeks in their band).
    `carry`: channel, family, lag, weight, low, high.
    `priors`: channel, on, prior_low, prior_middle, prior_high, low, mean, high.
    `chances`: channel, above_one (its ROI), highest (among the paid); empty without revenue.
    `media_share`: mean and 90 % interval.
    """

    fit: pl.DataFrame
    geos: pl.DataFrame
    carry: pl.DataFrame
    priors: pl.DataFrame
    chances: pl.DataFrame
    media_share: tuple[float, float, float]
    inside: float
    """Share of weeks inside their 90 % band, weeks that the fit has seen."""
    held_weeks: int
    held_inside: float | None
    held_error: float | None
    """wMAPE of weeks as back-tests foresaw them, all geos together; the gate's own figures are by geo."""
    facts: dict[str, str]
    sampling: dict[str, str]
    settings: dict[str, str]
    notes: tuple[str, ...]
    experiments: tuple[str, ...]
    form: str
    money: bool


def measure(data: az.InferenceData, fitted: Fitted, spec: ModelSpec) -> Measures:
    """Everything that a report needs from the posterior itself; takes about a second for ten channels."""
    design = fitted.design
    fit, geos = _fit(data, fitted, spec.seed)
    share, chances = _shares(fitted)
    held = fit.drop_nulls("held_middle")
    within = (held["observed"] >= held["held_low"]) & (held["observed"] <= held["held_high"])
    missed = np.abs((held["observed"] - held["held_middle"]).to_numpy()).sum()
    total = float(np.abs(held["observed"].to_numpy()).sum())
    return Measures(
        fit=fit,
        geos=geos,
        carry=_carry(fitted),
        priors=_priors(data, fitted, spec),
        chances=chances,
        media_share=share,
        inside=float(((fit["observed"] >= fit["low"]) & (fit["observed"] <= fit["high"])).to_numpy().mean()),
        held_weeks=held.height,
        held_inside=float(within.to_numpy().mean()) if held.height else None,
        held_error=float(missed) / total if total > 0 else None,
        facts=_facts(data, fitted, spec),
        sampling=_sampling(data),
        settings={name: _text(value) for name, value in spec.model_dump(mode="json").items() if name != "gate"},
        notes=tuple(str(note) for note in json.loads(data.attrs.get("notes", "[]"))),
        experiments=tuple(str(name) for name in json.loads(data.attrs.get("experiments", "[]"))),
        form=spec.form,
        money=design.money,
    )


def _fit(data: az.InferenceData, fitted: Fitted, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    design = fitted.design
    _, noisy = predict(fitted.media, fitted.draws.thin(FIT_DRAWS), np.random.default_rng(seed))
    low, middle, high = np.quantile(noisy.sum(axis=1), BAND, axis=0)
    held = np.full((3, len(design.weeks)), np.nan)
    if "predictions" in data.groups():
        folds = Heldout.of(data, design)
        for begin, predicted in zip(folds.begins, folds.predicted, strict=True):
            held[:, begin : begin + folds.ahead] = np.quantile(predicted.sum(axis=1), BAND, axis=0)
    frame = pl.DataFrame(
        {
            "date": design.weeks,
            "observed": design.outcome.sum(axis=0),
            "low": low,
            "middle": middle,
            "high": high,
            "held_low": held[0],
            "held_middle": held[1],
            "held_high": held[2],
        }
    ).with_columns(pl.col("held_low", "held_middle", "held_high").fill_nan(None))
    below, centre, above = np.quantile(noisy, BAND, axis=0)
    total = np.abs(design.outcome).sum(axis=1)
    geos = pl.DataFrame(
        {
            "geo": design.geos,
            "outcome": design.outcome.sum(axis=1),
            "wmape": np.abs(design.outcome - centre).sum(axis=1) / np.where(total > 0, total, np.nan),
            "inside": ((design.outcome >= below) & (design.outcome <= above)).mean(axis=1),
        }
    )
    return frame, geos.with_columns(pl.col("wmape").fill_nan(None))


def _shares(fitted: Fitted) -> tuple[tuple[float, float, float], pl.DataFrame]:
    """Share of the outcome that media made, and chances about returns, from the draws of `channel_results`."""
    design, draws = fitted.design, fitted.draws.thin(MOST_DRAWS)
    gains: list[FloatArray] = []
    returns: list[FloatArray] = []
    total = np.zeros((len(draws), *design.shape[1:])) if design.log else None
    for c in range(len(design.channels)):
        gained = fitted.gained(draws, c)
        gains.append(gained.sum(axis=(1, 2)))
        if total is not None:
            total += fitted.media.contribution(draws, c)
        spend = float(design.spend[c].sum())
        if c < design.paid and design.price is not None and spend > 0:
            returns.append((gained * design.price).sum(axis=(1, 2)) / spend)
    if total is None:
        media = np.sum(gains, axis=0)
    else:  # parts do not add up: what would be lost without all of them
        media = (design.outcome * (1 - np.exp(-design.scales.spread * total))).sum(axis=(1, 2))
    share = interval(media / design.outcome.sum())
    schema = {"channel": pl.String(), "above_one": pl.Float64(), "highest": pl.Float64()}
    if not returns:
        return share, pl.DataFrame(schema=schema)
    names = [n for c, n in enumerate(design.channels[: design.paid]) if design.spend[c].sum() > 0]
    together = np.stack(returns)
    best = together.argmax(axis=0)
    rows = {
        "channel": names,
        "above_one": (together > 1).mean(axis=1),
        "highest": [float((best == i).mean()) for i in range(len(names))],
    }
    return share, pl.DataFrame(rows, schema=schema)


def _carry(fitted: Fitted) -> pl.DataFrame:
    structure, draws = fitted.media.structure, fitted.draws.thin(MOST_DRAWS)
    frames = []
    for c, name in enumerate(structure.channels):
        form = draws.form[:, c]
        weights = carry_weights(structure.carry[c], form[:, 0], form[:, 1], structure.max_lag)
        weights = np.broadcast_to(weights, (len(draws), structure.max_lag + 1))
        low, high = np.quantile(weights, [0.05, 0.95], axis=0)
        frames.append(
            pl.DataFrame(
                {
                    "channel": name,
                    "family": structure.carry[c],
                    "lag": np.arange(structure.max_lag + 1),
                    "weight": weights.mean(axis=0),
                    "low": low,
                    "high": high,
                }
            )
        )
    return pl.concat(frames)


def _priors(data: az.InferenceData, fitted: Fitted, spec: ModelSpec) -> pl.DataFrame:
    """Prior and posterior of what each channel's prior is about, in its own units."""
    design = fitted.design
    prior = effect_scale(design, spec)
    effect = np.exp(data.posterior["log_effect"].to_numpy().reshape(-1, len(design.channels)))
    # The draws that `channel_results` takes: an ROI is then the same number in both places.
    if len(effect) > MOST_DRAWS:
        effect = effect[np.linspace(0, len(effect) - 1, MOST_DRAWS).round().astype(int)]
    total = float(design.outcome.sum())
    rows = []
    for c, name in enumerate(design.channels):
        own = spec.channels[name].prior if name in spec.channels else None
        paid = c < design.paid
        unit = 1.0
        if prior.code[c] == PLAIN:
            on = "coefficient"
        elif prior.code[c] == MARGIN or (own is not None and own.of == "mroi"):
            on = "marginal ROI"
        elif (own is None or own.of == "roi") and paid and design.money:
            on = "ROI"
        else:
            on, unit = "share of the outcome", float(prior.unit[c]) / total
        mean, low, high = interval(effect[:, c] * unit)
        rows.append(
            {
                "channel": name,
                "on": on,
                "prior_low": unit * float(np.exp(prior.mu[c] - Z90 * prior.sd[c])),
                "prior_middle": unit * float(np.exp(prior.mu[c])),
                "prior_high": unit * float(np.exp(prior.mu[c] + Z90 * prior.sd[c])),
                "low": low,
                "mean": mean,
                "high": high,
            }
        )
    return pl.DataFrame(rows)


def _facts(data: az.InferenceData, fitted: Fitted, spec: ModelSpec) -> dict[str, str]:
    design = fitted.design
    names = design.channels
    roles = [f"{name} ({spec.role(name)})" for name in design.controls if name not in spec.mediators]
    end: date = design.weeks[-1] + timedelta(days=6)
    return {
        "Weeks": f"{len(design.weeks)}, {design.weeks[0]} to {end}",
        "Geos": f"{len(design.geos)}: {_some(design.geos)}",
        "Paid channels": ", ".join(names[: design.paid]),
        "Organic channels": ", ".join(names[design.paid :]) or "none",
        "Given as reach and frequency": ", ".join(n for n, f in zip(names, design.frequency, strict=True) if f)
        or "none",
        "Controls and their roles": ", ".join(roles) or "none",
        "Left out as mediators": ", ".join(spec.mediators) or "none",
        "Revenue per outcome": "known" if design.money else "unknown: returns are counted in outcome, not in money",
        "Weeks set apart as incidents": ", ".join(str(week) for week in design.scales.shocks) or "none",
        "Fingerprint of the inputs": str(data.attrs.get("inputs", "unknown")),
    }


def _sampling(data: az.InferenceData) -> dict[str, str]:
    attrs, sizes = data.attrs, data.posterior.sizes

    def seconds(name: str) -> str:
        return f"{float(attrs[name]):.1f} s" if name in attrs else "unknown"

    attempts = remedies(data)
    return {
        "Sampler": {
            "fused": "NUTS (nutpie) on the compiled log-density",
            "pymc": "NUTS (nutpie) on the PyMC graph",
        }.get(str(attrs.get("sampler")), str(attrs.get("sampler", "unknown"))),
        "Chains and draws kept": f"{sizes['chain']} chains of {sizes['draw']} draws",
        "Attempts": "; ".join(f"{i}. {text}" for i, text in enumerate(attempts, start=1)) or "unknown",
        "Remedies tried": str(max(len(attempts) - 1, 0)),
        "Loading or compiling": seconds("compile_seconds"),
        "Sampling": seconds("sampling_seconds"),
        "Back-tests": seconds("validation_seconds"),
        "Held-out fits": _folds(data),
    }


def _folds(data: az.InferenceData) -> str:
    if "predictions" not in data.groups():
        return "none"
    folds = data.predictions
    return "; ".join(
        f"from {first} by {'weights' if method == 'reweighted' else 'a refit'} (k-hat {k:.2f})"
        for first, method, k in zip(
            folds["first_week"].to_numpy(), folds["method"].to_numpy(), folds["k_hat"].to_numpy(), strict=True
        )
    )


def _some(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
