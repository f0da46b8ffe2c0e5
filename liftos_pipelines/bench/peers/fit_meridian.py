"""Fit one of Meridian's published series with Google Meridian and print what it took, as JSON.

    python fit_meridian.py national_media.csv --knots 10

Run by an interpreter that has `google-meridian`. Every choice that is not named below is Meridian's default: geometric
carry-over over 8 lags, Hill saturation with slope 1, ROI priors LogNormal(0.2, 0.9), knots Normal(0, 5).
"""

import time

BEGAN = time.perf_counter()

import argparse  # noqa: E402
import contextlib  # noqa: E402
import importlib.metadata  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
CONTROLS = ["competitor_activity_score_control", "sentiment_score_control"]


def fit(options: argparse.Namespace) -> dict[str, object]:
    """Read, build, sample, diagnose."""
    import arviz as az
    import numpy as np
    import pandas as pd
    from meridian import backend
    from meridian.analysis.analyzer import Analyzer
    from meridian.data.data_frame_input_data_builder import DataFrameInputDataBuilder
    from meridian.model.model import Meridian
    from meridian.model.spec import ModelSpec

    imported = time.perf_counter()
    table = pd.read_csv(options.file)
    channels = sorted(name.removesuffix("_spend") for name in table.columns if name.endswith("_spend"))
    builder = DataFrameInputDataBuilder(kpi_type="non_revenue", default_kpi_column="conversions")
    builder = builder.with_kpi(table).with_revenue_per_kpi(table, revenue_per_kpi_col="revenue_per_conversion")
    builder = builder.with_controls(table, control_cols=CONTROLS)
    if "geo" in table:
        builder = builder.with_population(table)
    builder = builder.with_media(
        table,
        media_cols=[f"{name}_impression" for name in channels],
        media_spend_cols=[f"{name}_spend" for name in channels],
        media_channels=channels,
    )
    model = Meridian(input_data=builder.build(), model_spec=ModelSpec(knots=options.knots, max_lag=8))
    built = time.perf_counter()
    model.sample_posterior(
        n_chains=options.chains,
        n_adapt=options.adapt,
        n_burnin=options.burnin,
        n_keep=options.draws,
        seed=options.seed,
    )
    sampled = time.perf_counter()
    roi = np.asarray(
        Analyzer(model_context=model.model_context, inference_data=model.inference_data).roi(use_posterior=True)
    )
    found = az.convert_to_dataset({"roi": roi}, dims={"roi": ["channel"]})
    data = model.inference_data
    # Fixed quantities (slopes of 1) have no R-hat; the greatest of what varies is asked for.
    worst = [float(np.nanmax(v)) for v in az.rhat(data.posterior).data_vars.values() if np.isfinite(v).any()]
    return {
        "peer": "Meridian",
        "version": importlib.metadata.version("google-meridian"),
        "backend": str(backend.config.get_backend()).rpartition(".")[2],
        "sampler": f"NUTS of TensorFlow Probability, {options.adapt} + {options.burnin} warm-up",
        "import_seconds": imported - BEGAN,
        "build_seconds": built - imported,
        "fit_seconds": sampled - built,
        "roi_mean": roi.mean(axis=(0, 1)).tolist(),
        "roi_sd": roi.std(axis=(0, 1)).tolist(),
        "roi_ess_bulk": [float(v) for v in az.ess(found, method="bulk")["roi"]],
        "rhat_max": max(worst, default=None),
        "divergences": int(data.sample_stats["diverging"].sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--knots", type=int, default=10)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--adapt", type=int, default=500)
    parser.add_argument("--burnin", type=int, default=500)
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
