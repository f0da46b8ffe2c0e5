"""Fit Meridian's national series with PyMC-Marketing and nutpie, and print what it took, as JSON.

    python fit_pymc_marketing.py national_media.csv --knots 10

Run by an interpreter that has `pymc-marketing` and `nutpie`. The model is the nearest that PyMC-Marketing offers to
Meridian's default: geometric carry-over over 8 lags, Michaelis-Menten saturation (a Hill curve with slope 1) with the
same prior of the half-saturation point, and a linear trend with as many change points as Meridian has knots. It has no
prior on ROI: the coefficient gets the LogNormal(0.2, 0.9) that ROI would have at a typical carry-over and saturation.
"""

import time

BEGAN = time.perf_counter()

import argparse  # noqa: E402
import contextlib  # noqa: E402
import importlib.metadata  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

CONTROLS = ["competitor_activity_score_control", "sentiment_score_control"]
HALF_SATURATION = 0.8
"""Centre and spread of the half-saturation point, in medians of a channel's exposure."""
ROI_LOG_MEAN, ROI_LOG_SD = 0.2, 0.9
LAGS = 9
"""This week and eight before it."""


def fit(options: argparse.Namespace) -> dict[str, object]:
    """Read, build, sample, diagnose."""
    import arviz as az
    import numpy as np
    import pandas as pd
    from pymc_extras.prior import Prior
    from pymc_marketing.mmm import GeometricAdstock, LinearTrend, MichaelisMentenSaturation
    from pymc_marketing.mmm.additive_effect import LinearTrendEffect
    from pymc_marketing.mmm.multidimensional import MMM

    imported = time.perf_counter()
    table = pd.read_csv(options.file, parse_dates=["time"])
    if "geo" in table:
        raise SystemExit("national series only: its panel has no population scaling to compare with")
    channels = sorted(name.removesuffix("_spend") for name in table.columns if name.endswith("_spend"))
    media = [f"{name}_impression" for name in channels]
    exposure = table[media].to_numpy(dtype=float)
    spend = table[[f"{name}_spend" for name in channels]].to_numpy(dtype=float)
    price = table["revenue_per_conversion"].to_numpy()

    # Both sides are scaled by their greatest value, which is this tool's default; its priors are in those units.
    scaled, half = exposure / exposure.max(axis=0), HALF_SATURATION * np.median(exposure, axis=0) / exposure.max(axis=0)
    response = (price[:, None] * scaled / (scaled + half)).sum(axis=0) * table["conversions"].max()
    typical = np.exp(ROI_LOG_MEAN) * spend.sum(axis=0) / response
    per_channel = {"dims": "channel"}
    unit = np.median(exposure, axis=0) / exposure.max(axis=0)
    model = MMM(
        date_column="time",
        channel_columns=media,
        target_column="conversions",
        control_columns=CONTROLS,
        adstock=GeometricAdstock(l_max=LAGS, priors={"alpha": Prior("Uniform", lower=0, upper=1, **per_channel)}),
        saturation=MichaelisMentenSaturation(
            priors={
                "alpha": Prior("LogNormal", mu=np.log(typical), sigma=ROI_LOG_SD, **per_channel),
                "lam": Prior("TruncatedNormal", mu=half, sigma=half, lower=0.1 * unit, upper=10 * unit, **per_channel),
            }
        ),
    )
    model.mu_effects.append(LinearTrendEffect(trend=LinearTrend(n_changepoints=options.knots), prefix="trend"))
    inputs = table[["time", *media, *CONTROLS]]
    model.build_model(inputs, table["conversions"])
    model.add_original_scale_contribution_variable(["channel_contribution"])
    built = time.perf_counter()
    data = model.fit(
        inputs,
        table["conversions"],
        nuts_sampler="nutpie",
        chains=options.chains,
        tune=options.tune,
        draws=options.draws,
        cores=options.cores,
        progressbar=False,
        random_seed=options.seed,
    )
    sampled = time.perf_counter()
    contribution = data.posterior["channel_contribution_original_scale"]
    contribution = contribution.transpose("chain", "draw", "date", "channel").to_numpy()
    roi = np.einsum("sdtc,t->sdc", contribution, price) / spend.sum(axis=0)
    found = az.convert_to_dataset({"roi": roi}, dims={"roi": ["channel"]})
    free = [variable.name for variable in model.model.free_RVs]
    worst = max(float(v.max()) for v in az.rhat(data.posterior[free]).data_vars.values())
    return {
        "peer": "PyMC-Marketing",
        "version": importlib.metadata.version("pymc-marketing"),
        "backend": f"PyMC {importlib.metadata.version('pymc')}",
        "sampler": f"nutpie {importlib.metadata.version('nutpie')}, {options.tune} warm-up",
        "import_seconds": imported - BEGAN,
        "build_seconds": built - imported,
        "fit_seconds": sampled - built,
        "roi_mean": roi.mean(axis=(0, 1)).tolist(),
        "roi_sd": roi.std(axis=(0, 1)).tolist(),
        "roi_ess_bulk": [float(v) for v in az.ess(found, method="bulk")["roi"]],
        "rhat_max": max(worst, float(az.rhat(found)["roi"].max())),
        "divergences": int(data.sample_stats["diverging"].sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--knots", type=int, default=10)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # Libraries talk on standard output too; it is kept for the answer.
    with contextlib.redirect_stdout(sys.stderr):
        answer = fit(options)
    answer |= {
        "chains": options.chains,
        "draws": options.draws,
        "knots": options.knots,
        "wall_seconds": time.perf_counter() - BEGAN,
        "cpu_seconds": time.process_time(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
