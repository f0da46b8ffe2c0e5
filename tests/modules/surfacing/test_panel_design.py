"""Panel design: the formula is what simulation shows, repeats are bought only where they pay."""

from __future__ import annotations

import numpy as np
import pytest

from liftos_pipelines.modules.surfacing.visibility.intervals import ratio_intervals
from liftos_pipelines.modules.surfacing.visibility.panel_design import (
    Prices,
    assumed,
    cheapest_panel,
    half_width,
    prompts_needed,
    smallest_change,
)


def panels(rng: np.random.Generator, rate: float, icc: float, prompts: int, repeats: int, size: int) -> np.ndarray:
    """(prompts, size) mentions in `size` simulated panels."""
    k = 1 / icc - 1
    return rng.binomial(repeats, rng.beta(rate * k, (1 - rate) * k, (prompts, size))).astype(float)


@pytest.mark.parametrize(
    ("rate", "icc", "prompts", "repeats"), [(0.3, 0.8, 40, 3), (0.5, 0.4, 100, 2), (0.2, 0.8, 150, 1)]
)
def test_the_formula_gives_the_spread_that_simulated_panels_have(
    rate: float, icc: float, prompts: int, repeats: int
) -> None:
    found = panels(np.random.default_rng(1), rate, icc, prompts, repeats, 4000)
    spread = (found.sum(axis=0) / (prompts * repeats)).std()
    expected = half_width(rate, icc, prompts, repeats) / 1.645
    assert spread == pytest.approx(expected, rel=0.06)
    naive = np.sqrt(rate * (1 - rate) / (prompts * repeats))
    assert repeats == 1 or naive < 0.9 * spread


def test_a_designed_panel_keeps_its_promised_width() -> None:
    prompts = prompts_needed(0.2, 0.3, 0.8, 3)
    assert prompts is not None
    found = panels(np.random.default_rng(2), 0.3, 0.8, prompts, 3, 500)
    _, low, high, _ = ratio_intervals(found, np.full_like(found, 3.0))
    assert np.mean(high - low) == pytest.approx(0.2, rel=0.06)


def test_prompts_beat_repeats_when_answers_to_one_prompt_agree() -> None:
    assert half_width(0.3, 0.8, 120, 1) < 0.7 * half_width(0.3, 0.8, 40, 3)
    assert half_width(0.3, 0.8, 40, 100) > 0.85 * half_width(0.3, 0.8, 40, 3)  # repeats cannot do more
    assert half_width(0.3, 0.0, 40, 3) == pytest.approx(half_width(0.3, 0.0, 40, 1) / np.sqrt(3))


def test_the_cheapest_panel_repeats_only_where_prompts_are_dear() -> None:
    free = cheapest_panel(0.1, 0.3, 0.8, Prices(answer=0.01))
    dear = cheapest_panel(0.1, 0.3, 0.3, Prices(answer=0.01, prompt=1.0))
    assert free is not None
    assert dear is not None
    assert free.repeats == 1
    assert dear.repeats > 3
    for panel, icc in ((free, 0.8), (dear, 0.3)):
        assert panel.width <= 0.1
        assert 2 * half_width(0.3, icc, panel.prompts - 1, panel.repeats) > 0.1  # not one prompt too many
    assert cheapest_panel(0.1, 0.3, 0.8, Prices(answer=0.01), most_prompts=50) is None


def test_the_smallest_change_is_found_four_times_in_five() -> None:
    rng, prompts, repeats, icc = np.random.default_rng(3), 80, 2, 0.8
    change = smallest_change(0.4, icc, prompts, repeats)
    before = panels(rng, 0.4 - change / 2, icc, prompts, repeats, 3000)
    after = panels(rng, 0.4 + change / 2, icc, prompts, repeats, 3000)
    rates = [part.sum(axis=0) / (prompts * repeats) for part in (before, after)]
    errors = [(part / repeats).std(axis=0, ddof=1) / np.sqrt(prompts) for part in (before, after)]
    found = (rates[1] - rates[0]) / np.hypot(*errors) > 1.66
    assert found.mean() == pytest.approx(0.8, abs=0.05)
    assert smallest_change(0.4, icc, prompts, repeats, kept=0.8) < 0.5 * change


def test_what_cannot_be_planned_is_said() -> None:
    assert prompts_needed(0.001, 0.5, 0.8, 1) is None
    with pytest.raises(ValueError, match="two prompts"):
        half_width(0.3, 0.8, 1, 3)
    with pytest.raises(ValueError, match="ICC"):
        half_width(0.3, 1.2, 10, 3)
    rate, icc, notes = assumed(None, None)
    assert (rate, icc) == (0.5, 0.8)
    assert len(notes) == 2
