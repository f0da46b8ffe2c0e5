"""The report of one model: a single HTML file that says in words, plots and tables what it says and how far it holds.

The same inputs give the same bytes: nothing here reads a clock, a file or the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.modules.causal.report import svg
from liftos_pipelines.modules.causal.report.charts import (
    carry_panels,
    contribution_chart,
    curve_panels,
    fit_chart,
    plan_rows,
    prior_groups,
    return_rows,
)
from liftos_pipelines.modules.causal.report.measures import Measures
from liftos_pipelines.modules.causal.report.svg import amount, percent
from liftos_pipelines.modules.causal.report.template import PAGE
from liftos_pipelines.modules.causal.report.words import MARKS, ORDER, TONES, limits_of, summary, verdict
from liftos_pipelines.page_style import STYLE
from liftos_pipelines.tables import ALL

MOST_GEOS = 15
KIND_WORDS = {"paid": "paid", "organic": "organic", "treatment": "treatment", "baseline": "all else"}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page is made of. Frames are those of `causal/*`, of this model; `plan` empty where none is given.

    `serves`: answers are given from this model now, for the reason `why`. `left_out`: what the panel had to leave out.
    `meanings`: a sentence for each check, by its name. `remembered`: the registry's word on the gate (see `verdict`).
    """

    client: str
    currency: str
    now: datetime
    version: int | None
    run_id: str | None
    serves: bool
    why: str
    checks: pl.DataFrame
    results: pl.DataFrame
    curves: pl.DataFrame
    plan: pl.DataFrame
    contributions: pl.DataFrame
    measures: Measures
    left_out: str = "unknown"
    plan_note: str = ""
    weeks_unseen: int | None = None
    meanings: Mapping[str, str] | None = None
    remembered: str = ""


def report_page(report: Report) -> str:
    """The page as HTML; everything that comes from data is escaped."""
    import jinja2
    from markupsafe import Markup

    said = verdict(report.checks, report.serves, report.why, report.remembered)
    measures, whole = report.measures, report.results.filter(pl.col("geo") == ALL)
    plan = report.plan if said.sound else report.plan.clear()
    name = f"version {report.version}" if report.version is not None else "not registered"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    drawings: dict[str, Any] = {
        "fit_chart": fit_chart(measures),
        "contribution_chart": contribution_chart(report.contributions),
        "roi_chart": return_rows(whole, "roi", measures.priors),
        "mroi_chart": return_rows(whole, "mroi"),
        "plan_chart": plan_rows(plan),
    }
    return environment.from_string(PAGE).render(
        style=Markup(STYLE + svg.STYLE),
        client=report.client,
        currency=report.currency,
        name=name,
        made=f"{report.now:%Y-%m-%d %H:%M} UTC",
        verdict=said,
        summary=summary(said, measures, report.results, plan, report.currency),
        facts=_facts(report, whole),
        **{key: Markup(value) for key, value in drawings.items()},
        fit_words=_fit_words(measures),
        geos=_geos(measures.geos),
        geo_note=_geo_note(measures.geos),
        parts=_parts(report.contributions, whole),
        channels=[_channel(row, measures) for row in whole.iter_rows(named=True)],
        money=measures.money,
        curves=[panel | {"chart": Markup(panel["chart"])} for panel in curve_panels(report.curves, report.currency)],
        plan=_plan(plan, report.currency),
        plan_note=report.plan_note if said.sound else "No plan is given from a model that no check vouches for.",
        carry=[panel | {"chart": Markup(panel["chart"])} for panel in carry_panels(measures.carry)],
        priors=[group | {"chart": Markup(group["chart"])} for group in prior_groups(measures.priors)],
        checks=_checks(report.checks, report.meanings or {}),
        sampling=measures.sampling,
        data=measures.facts
        | {
            "Left out or noted when the panel was made": report.left_out,
            "Lift tests used": ", ".join(measures.experiments) or "none",
            "Lift tests not used, and other notes of the fit": "; ".join(measures.notes) or "none",
        },
        limits=limits_of(measures.form, measures.experiments),
        settings=measures.settings,
        identity={
            "Client": report.client,
            "Model": name,
            "MLflow run": report.run_id or "unknown",
            "Serves": f"{'yes' if report.serves else 'no'}{f': {report.why}' if report.why else ''}",
            "Report made": f"{report.now:%Y-%m-%d %H:%M} UTC",
        },
    )


def _facts(report: Report, whole: pl.DataFrame) -> list[dict[str, str]]:
    measures, checks = report.measures, report.checks
    newest = measures.fit["date"][-1] + timedelta(days=6)
    passed = checks.filter(pl.col("status") == "pass").height
    mean, low, high = measures.media_share
    paid = whole.filter(pl.col("kind") == "paid").height
    accuracy = checks.filter(pl.col("check") == "heldout_accuracy")["value"].drop_nulls()
    unseen = f"{report.weeks_unseen} newer weeks not seen" if report.weeks_unseen else ""
    return [
        {"label": "Checks passed", "value": f"{passed} of {checks.height}", "note": "others warn, fail or are unknown"},
        {"label": "Weeks", "value": str(measures.fit.height), "note": unseen or f"the last ends {newest}"},
        {"label": "Channels", "value": str(whole.height), "note": f"{paid} paid"},
        {"label": "Made by media", "value": percent(mean), "note": f"{percent(low)} to {percent(high)} of the outcome"},
        {
            "label": "Held-out accuracy",
            "value": percent(float(accuracy[0])) if accuracy.len() else "unknown",
            "note": f"1 - wMAPE, {measures.held_weeks} weeks" if measures.held_weeks else "no week was held out",
        },
    ]  # fmt: skip


def _fit_words(measures: Measures) -> str:
    words = f"{percent(measures.inside)} of the weeks lie in the 90 % band of the fit that has seen them."
    if not measures.held_weeks or measures.held_inside is None:
        return f"{words} No week was held out, so nothing is known about its forecasts."
    return (
        f"{words} Of {measures.held_weeks} weeks that back-tests did not see (shaded, dashed), "
        f"{percent(measures.held_inside)} lie in the 90 % band that foresaw them; all geos together, the forecast "
        f"missed them by {percent(measures.held_error)} (wMAPE)."
    )


def _geos(geos: pl.DataFrame) -> list[dict[str, str]]:
    if geos.height < 2:
        return []
    return [
        {
            "geo": row["geo"],
            "outcome": amount(row["outcome"]),
            "wmape": percent(row["wmape"]),
            "inside": percent(row["inside"]),
        }
        for row in geos.sort("wmape", descending=True, nulls_last=True).head(MOST_GEOS).iter_rows(named=True)
    ]


def _geo_note(geos: pl.DataFrame) -> str:
    return f"The {MOST_GEOS} worst fitted of {geos.height} geos." if geos.height > MOST_GEOS else ""


def _parts(contributions: pl.DataFrame, whole: pl.DataFrame) -> list[dict[str, str]]:
    """Totals of all weeks, the largest first; channels as in `causal/channel_results`, so that one number is said."""
    summed = contributions.filter(pl.col("geo") == ALL).group_by("channel", "kind", maintain_order=True)
    sums = summed.agg(pl.col("contribution").sum())
    total = float(sums["contribution"].sum())
    known = {row["channel"]: row for row in whole.iter_rows(named=True)}
    out = []
    for row in sums.sort("contribution", descending=True).iter_rows(named=True):
        own = known.get(row["channel"]) if row["kind"] in ("paid", "organic") else None
        share = row["contribution"] / total if total else None
        said = amount(row["contribution"])
        if own is not None:
            share = own["contribution_share"]
            said = _banded(own, "contribution")
        kind = KIND_WORDS.get(row["kind"], row["kind"])
        out.append({"name": row["channel"], "kind": kind, "amount": said, "share": percent(share)})
    return out


def _banded(row: Mapping[str, Any], name: str) -> str:
    return f"{amount(row[name])} ({amount(row[f'{name}_low'])} to {amount(row[f'{name}_high'])})"


def _channel(row: Mapping[str, Any], measures: Measures) -> dict[str, str]:
    chance = dict(measures.chances.select("channel", "above_one").iter_rows()).get(row["channel"])

    def banded(name: str) -> str:
        if row.get(name) is None:
            return "unknown" if row["kind"] == "paid" else "free"
        return _banded(row, name)

    share = percent(row["contribution_share"])
    return {
        "name": row["channel"],
        "kind": row["kind"],
        "spend": amount(row["spend"]) if row["spend"] is not None else "free",
        "contribution": f"{banded('contribution')}, {share} of the outcome",
        "roi": banded("roi"),
        "mroi": banded("mroi"),
        "above_one": "not known" if chance is None else _chance(chance),
        "cost": _cost(row),
    }


def _cost(row: Mapping[str, Any]) -> str:
    """Spend over the expected incremental outcome; the interval's ends are spend over the other ends."""
    spend, mean = row["spend"], row["contribution"]
    if not spend:
        return "free" if row["kind"] == "organic" else "unknown"
    if mean <= 0:
        return "unknown: no gain is expected"
    top = amount(spend / row["contribution_low"]) if row["contribution_low"] > 0 else "no upper bound"
    return f"{amount(spend / mean)} ({amount(spend / row['contribution_high'])} to {top})"


def _chance(probability: float) -> str:
    return "> 99 %" if probability > 0.99 else "< 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


BOUNDS = {
    "lower": "at its lower bound",
    "upper": "at its upper bound",
    "observed": "at the highest spend observed",
    "none": "free",
    "fixed": "total fixed",
    "flexible": "total found",
}


def _plan(plan: pl.DataFrame, currency: str) -> dict[str, Any] | None:
    if plan.is_empty():
        return None
    whole = plan.filter(pl.col("channel") == ALL).row(0, named=True)
    unit = whole.get("unit", "revenue")
    measure = f"{currency} of revenue" if unit == "revenue" else "of outcome"
    gain = whole["uplift"] / whole["response_current"] if whole["response_current"] else None
    gap, kkt = whole.get("certificate_gap"), whole.get("kkt_residual")
    certificate = "unknown"
    if gap is not None:
        certificate = (
            "no transfer of a hundredth of the budget from one channel to another within the bounds gains anything"
            if gap <= 1e-9
            else f"a transfer of a hundredth of the budget was found that gains {100 * gap:.2g} % of the objective"
        )
        certificate += "" if kkt is None else f"; optimality residual {kkt:.1e} (0 is exact)"
    better = whole.get("probability_better")
    return {
        "words": f"Response of media: {amount(whole['response_current'])} as it was, "
        f"{amount(whole['response_planned'])} as planned, {measure}: {percent(gain, signed=True)}. "
        f"Uplift with its 90 % interval: {_banded(whole, 'uplift')}"
        + ("" if better is None else f"; better than the current spread with probability {_chance(better)}")
        + ".",
        "certificate": certificate,
        "beyond": bool(whole.get("beyond_observed")),
        "weeks": whole.get("weeks"),
        "rows": [
            {
                "name": "all" if row["channel"] == ALL else row["channel"],
                "now": amount(row["spend_current"]),
                "planned": amount(row["spend_planned"]),
                "change": percent(row["spend_planned"] / row["spend_current"] - 1, signed=True)
                if row["spend_current"]
                else "new",
                "bound": BOUNDS.get(row.get("bound") or "", "unknown")
                + (", beyond what was observed" if row.get("beyond_observed") else ""),
                "uplift": _banded(row, "uplift"),
            }
            for row in plan.iter_rows(named=True)
        ],
    }


def _checks(checks: pl.DataFrame, meanings: Mapping[str, str]) -> list[dict[str, str]]:
    rows = sorted(checks.iter_rows(named=True), key=lambda row: ORDER.get(row["status"], 2))
    return [
        {
            "name": row["check"].replace("_", " "),
            "word": MARKS.get(row["status"], MARKS["unknown"]),
            "tone": TONES.get(row["status"], "none"),
            "value": _precise(row["value"]),
            "threshold": _precise(row["threshold"]),
            "detail": row["detail"] or "",
            "meaning": meanings.get(row["check"], ""),
        }
        for row in rows
    ]


def _precise(number: float | None) -> str:
    return "none" if number is None else f"{number:,.4g}"
