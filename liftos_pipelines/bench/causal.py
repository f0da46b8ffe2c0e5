"""The marketing-mix model beside its peers: seconds, effective draws a second, agreement, and error against a truth.

All on two cores, one after the other. Peers are fitted in the same run where their interpreters are named (see
`rivals`); otherwise the baseline says that it was recorded.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import lognorm, truncnorm

from liftos_pipelines import settings
from liftos_pipelines.bench.causal_runs import CLIENT, Run, Sampling, cold, two_cores, uncompiled, warm
from liftos_pipelines.bench.causal_update import weekly_update_figures
from liftos_pipelines.bench.figure import Figure, NoData
from liftos_pipelines.bench.rivals import MERIDIAN, PYMC_MARKETING, PeerFit
from liftos_pipelines.modules.causal.engine.transforms import CURVE

BENCHMARK = "causal"
COLD_RUNS = 3
THEIR_HALF = (0.8, 0.8, 0.1, 10.0)
"""Meridian's prior of the half-saturation point: a normal's mean and sd, cut off below and above."""
DISAGREEMENT = 2.5
"""Monte Carlo standard errors that the largest of four differences of equal means exceeds in one run of twenty."""


def example(name: str) -> str:
    """client.yaml of a published example, for the benchmark's client."""
    text = (settings.PROJECT / "examples" / name / "client.yaml").read_text(encoding="utf-8")
    return text.replace(f"client: {name}", f"client: {CLIENT}")


def measure(data: Path) -> Iterator[Figure]:
    """National and geo series beside the peers, our runs first; then the truth of PyMC-Marketing's example."""
    if not (data / "mmm").is_dir():
        raise NoData(f"{data / 'mmm'} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    with two_cores():
        yield from _national(data / "mmm" / "meridian" / "national_media.csv")
        yield from _geo(data / "mmm" / "meridian" / "geo_media.csv")
        yield from weekly_update_figures(data)
        yield from _truth(data / "mmm" / "pymc_marketing")


def _national(file: Path) -> Iterator[Figure]:
    client = example("meridian-default")
    first = uncompiled(file, client)
    ours, again = cold(file, client, times=COLD_RUNS), warm(file, client)
    meridian = MERIDIAN.fit(file, "national", "--knots", "10")
    pymc = PYMC_MARKETING.fit(file, "national", "--knots", "10")
    what = "156 weeks, 4 channels, 2 controls, 10 knots"
    yield from _speed("national MMM", what, ours, "<= 8 s", ">= 400 ESS/s", [meridian, pymc])
    if first.sampling is not None:
        yield Figure(
            benchmark=BENCHMARK,
            name="national MMM, first fit after an installation",
            value=first.seconds[0],
            unit="s",
            n=1,
            method="nothing compiled yet, which `make install` sees to: the log-density is compiled in this run, all "
            f"other rows read it from disk; load average before: {first.load:.1f}",
        )
    yield Figure(
        benchmark=BENCHMARK,
        name="national MMM, the same in a warm process",
        value=again.seconds[0],
        unit="s",
        n=1,
        goal="<= 3 s",
        method=f"second run of the selection in one process; load average before: {again.load:.1f}",
    )
    yield Figure(
        benchmark=BENCHMARK,
        name="national MMM, least bulk ESS",
        value=_check(ours, "ess_bulk"),
        unit="draws",
        n=1,
        goal=">= 400",
        method="least over all parameters of the same fit",
    )
    if ours.sampling is not None and meridian is not None and meridian.roi is not None:
        yield _agreement(ours.sampling, meridian)
        if meridian is not MERIDIAN.recorded["national"]:
            yield _agreement(ours.sampling, MERIDIAN.recorded["national"])


def _geo(file: Path) -> Iterator[Figure]:
    ours = cold(file, example("meridian-default-geo"))
    meridian = MERIDIAN.fit(file, "geo", "--knots", "20")
    what = "20 geos x 156 weeks, 4 channels, 2 controls, 20 knots"
    yield from _speed("geo MMM", what, ours, "<= 30 s", ">= 50 ESS/s", [meridian])


def _speed(name: str, what: str, ours: Run, goal: str, ess_goal: str, peers: list[PeerFit | None]) -> Iterator[Figure]:
    """Wall seconds and effective draws a second, a row for each peer."""
    sampling = ours.sampling
    failing = ", ".join(ours.failing) or "none"
    spread = f", {min(ours.seconds):.1f} to {max(ours.seconds):.1f} s" if len(ours.seconds) > 1 else ""
    for peer in (peer for peer in peers if peer is not None):
        beside = peer.name.split(" ")[0]
        yield Figure(
            benchmark=BENCHMARK,
            name=f"{name}, cold process to checked posterior, beside {beside}",
            value=statistics.median(ours.seconds),
            unit="s",
            n=len(ours.seconds),
            goal=goal,
            method=f"liftos run up to causal/validation, held-out fit and table of results included; {what}; median of "
            f"{len(ours.seconds)}{spread}; checks that fail: {failing}; load average before: {ours.load:.1f}. "
            f"{beside}: {peer.detail}",
            baseline=peer.label,
            baseline_value=peer.seconds,
        )
        if sampling is None:
            continue
        yield Figure(
            benchmark=BENCHMARK,
            name=f"{name}, least bulk ESS of any ROI per second, beside {beside}",
            value=sampling.ess_per_second,
            unit="ESS/s",
            n=1,
            goal=ess_goal,
            method=f"least ESS {sampling.ess.min():,.0f}, compilation {sampling.compile_seconds:.1f} s, sampling "
            f"{sampling.sampling_seconds:.1f} s, {sampling.divergences} divergences in {sampling.draws:,} draws; "
            "the same fits as above",
            baseline=peer.label,
            baseline_value=peer.ess_per_second,
        )


def _agreement(ours: Sampling, theirs: PeerFit) -> Figure:
    """Whether two samplers of one model agree, in Monte Carlo errors of the difference."""
    assert theirs.roi is not None
    assert theirs.roi_error is not None
    means, errors, kept = under_their_prior(ours)
    apart = [
        (abs(mine - other), (own**2 + error**2) ** 0.5)
        for mine, own, other, error in zip(means, errors, theirs.roi, theirs.roi_error, strict=True)
    ]
    return Figure(
        benchmark=BENCHMARK,
        name=f"national MMM, largest difference of an ROI mean from {theirs.label}",
        value=max(difference / error for difference, error in apart),
        unit="Monte Carlo errors",
        n=len(apart),
        goal=f"<= {DISAGREEMENT}",
        method=f"ROI {_list(means)} (Monte Carlo errors {_list(errors)}) beside {_list(theirs.roi)} "
        f"({_list(theirs.roi_error)}; {theirs.label}); largest difference {max(apart)[0]:.3f}. Our draws are weighted "
        "to Meridian's prior of the half-saturation point, "
        f"worth {kept:.0%} of them; unweighted {_list(ours.means)}",
    )


def under_their_prior(ours: Sampling) -> tuple[list[float], list[float], float]:
    """ROI means under Meridian's half-saturation prior, their Monte Carlo errors, and the share of draws left.

    Both priors are of the same quantity, exposure in medians; the rest of the model is the same. Importance weights
    are the ratio of the two densities, so no second fit is needed.
    """
    half = ours.half_saturation
    centre, spread, low, high = THEIR_HALF
    theirs = truncnorm(a=(low - centre) / spread, b=(high - centre) / spread, loc=centre, scale=spread)
    prior = CURVE["hill"][0]
    log_weight = (theirs.logpdf(half) - lognorm(s=prior.b, scale=np.exp(prior.a)).logpdf(half)).sum(axis=2)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    means = np.einsum("sd,sdc->c", weight, ours.roi)
    spread_of_means = np.sqrt(np.einsum("sd,sdc->c", weight**2, (ours.roi - means) ** 2))
    # Draws of a chain are not independent: the error grows as the unweighted one does.
    errors = spread_of_means * np.sqrt(weight.size / np.minimum(ours.ess, weight.size))
    return means.tolist(), errors.tolist(), float(1 / (weight**2).sum() / weight.size)


def _truth(folder: Path) -> Iterator[Figure]:
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["channels"]
    run = cold(folder / "mmm_example.csv", example("pymc-marketing"))
    found = {row["channel"]: row for row in run.results.filter(pl.col("geo") == "all").iter_rows(named=True)}
    errors = [abs(found[c]["contribution"] / truth[c]["total_contribution"] - 1) for c in truth]
    held = [
        found[c]["contribution_low"] <= truth[c]["total_contribution"] <= found[c]["contribution_high"] for c in truth
    ]
    yield Figure(
        benchmark=BENCHMARK,
        name="contribution error, PyMC-Marketing example",
        value=100 * sum(errors) / len(errors),
        unit="%",
        n=len(errors),
        method="mean absolute error of two channels' contributions against the published truth; "
        f"{sum(held)} of {len(held)} 90 % intervals hold it",
    )


def _check(run: Run, name: str) -> float | None:
    values: dict[str, float | None] = dict(run.checks.select("check", "value").iter_rows())
    return values.get(name)


def _list(values: object) -> str:
    return ", ".join(f"{value:.2f}" for value in values)  # type: ignore[attr-defined]
