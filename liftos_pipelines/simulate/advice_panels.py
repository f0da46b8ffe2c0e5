"""Panels of prompts on some of which something was done, and past actions of known effect: truth for watching advice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.advice.outcomes import Study
from liftos_pipelines.modules.surfacing.advice.watching import SETTLING

AT = datetime(2025, 6, 1, tzinfo=UTC)
"""When something was done."""


@dataclass(frozen=True, kw_only=True)
class ActedPanel:
    """Answers (prompt_id, engine, asked_at, value) before and after `AT`, the prompts something was done about, and by
    how much their true rates changed because of it."""

    rates: pl.DataFrame
    watched: list[str]
    effect: float


def acted_panel(
    rng: np.random.Generator, *, watched: int, effect: float, chosen: str = "random", prompts: int = 60, weeks: int = 8
) -> ActedPanel:
    """A panel asked weekly of two engines.

    Prompts differ a lot (sd 2 on the logit: an intraclass correlation of about .6), drift by themselves (sd .6), and
    engines change for all prompts at once (sd .5). With `chosen="zero"` something is done about prompts that never named
    the brand, as advice chooses them.
    """

    def rate(logit: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-logit)))

    level = rng.normal(-0.3, 2.0, (prompts, 1)) + rng.normal(0, 0.5, (prompts, 2))
    after = rate(level + rng.normal(0, 0.6, (prompts, 2)) + rng.normal(0, 0.5, (1, 2)))
    seen = rng.random((weeks, prompts, 2)) < rate(level)
    candidates = np.flatnonzero(seen.mean(axis=(0, 2)) == 0) if chosen == "zero" else np.arange(prompts)
    mine = rng.choice(candidates, min(watched, len(candidates)), replace=False)
    changed = after.copy()
    changed[mine] = np.clip(changed[mine] + effect, 0, 1)
    later = rng.random((weeks, prompts, 2)) < changed
    week, prompt, engine = (axis.ravel() for axis in np.indices((weeks, prompts, 2)))
    parts = []
    for values, start in ((seen, AT - timedelta(days=55)), (later, AT + SETTLING + timedelta(days=1))):
        parts.append(
            pl.DataFrame(
                {
                    "prompt_id": np.char.add("p", prompt.astype(str)),
                    "engine": np.char.add("e", engine.astype(str)),
                    "asked_at": [start + timedelta(days=7 * int(w)) for w in week],
                    "value": values.ravel().astype(float),
                }
            ).with_columns(pl.col("asked_at").cast(pl.Datetime("us", "UTC")))
        )
    true = float((changed - after)[mine].mean()) if len(mine) else 0.0
    return ActedPanel(rates=pl.concat(parts), watched=[f"p{one}" for one in mine], effect=true)


def past_actions(
    rng: np.random.Generator, sizes: tuple[int, ...], *, between_kinds: float, between_actions: float, error: float
) -> tuple[list[Study], dict[str, float]]:
    """Measured effects of `sizes[i]` actions of kind i, and the true effect of each kind's next action.

    Kinds have means around .05 (sd `between_kinds`), actions true effects around their kind's mean (sd
    `between_actions`), measured with standard errors of .7 to 1.4 times `error`.
    """
    studies, coming = [], {}
    for number, size in enumerate(sizes):
        mean = rng.normal(0.05, between_kinds)
        for _ in range(size):
            own = error * rng.uniform(0.7, 1.4)
            effect = float(rng.normal(rng.normal(mean, between_actions), own))
            studies.append(Study(kind=f"k{number}", metric="m", effect=effect, std_error=float(own), origin=""))
        coming[f"k{number}"] = float(rng.normal(mean, between_actions))
    return studies, coming
