"""Verdicts on draws follow the levels, and levels are the client's to change."""

from typing import Any

import numpy as np
import pytest

from liftos_pipelines.modules.causal.checks.check import Check, judge_again
from liftos_pipelines.modules.causal.checks.gate import AtLeast, AtMost, Gate
from liftos_pipelines.modules.causal.checks.sampling import remedies, sampling_checks
from liftos_pipelines.modules.causal.checks.validation import NAMES
from liftos_pipelines.modules.causal.spec import ModelSpec, SpecError


def idata(shift: float = 0.0, diverging: int = 0, energy: np.ndarray | None = None) -> Any:
    """A posterior of white noise, its second chain moved by `shift`."""
    import arviz as az

    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 500, 3))
    values[1] += shift
    flags = np.zeros((2, 500), dtype=bool)
    flags[0, :diverging] = True
    stats = {"diverging": flags, "energy": rng.normal(size=(2, 500)) if energy is None else energy}
    return az.from_dict(posterior={"log_effect": values}, sample_stats=stats)


def status(checks: list[Check]) -> dict[str, str]:
    return {check.check: check.status for check in checks}


def test_white_noise_passes_and_chains_that_disagree_fail() -> None:
    assert set(status(sampling_checks(idata())).values()) == {"pass"}
    bad = status(sampling_checks(idata(shift=3.0, diverging=40)))
    assert (bad["r_hat"], bad["ess_bulk"], bad["divergences"]) == ("fail", "fail", "fail")
    assert status(sampling_checks(idata(diverging=1)))["divergences"] == "warn"


def test_energy_that_wanders_fails() -> None:
    walk = np.random.default_rng(1).normal(size=(2, 500)).cumsum(axis=1)
    assert status(sampling_checks(idata(energy=walk)))["bfmi"] == "fail"


def test_a_chain_that_stands_still_fails_by_name() -> None:
    still = idata()
    still.posterior["sigma"] = still.posterior["log_effect"][:, :, 0] * 0.0
    stuck = {check.check: check for check in sampling_checks(still)}
    assert stuck["r_hat"].status == "fail"
    assert "sigma" in stuck["r_hat"].detail


def test_remedies_are_told() -> None:
    data = idata()
    data.attrs["attempts"] = (
        '[{"target_accept": 0.9, "divergences": 3.0, "r_hat": 1.02, "ess": 90.0, "seconds": 1.0},'
        ' {"target_accept": 0.97, "divergences": 0.0, "r_hat": 1.001, "ess": 900.0, "seconds": 2.0}]'
    )
    assert remedies(data)[0] == "acceptance 0.9: 3 divergences, R-hat 1.020, ESS 90, 1.0 s"
    assert next(c for c in sampling_checks(data) if c.check == "divergences").detail.endswith("after 1 more attempt(s)")


def test_levels_change_one_by_one_and_the_rest_stay() -> None:
    spec = ModelSpec.from_config({"gate": {"r_hat": {"fail": 1.02}, "bfmi": {"fail": None}}})
    assert spec.gate.r_hat == AtMost(warn=1.01, fail=1.02)
    assert spec.gate.bfmi == AtLeast(warn=0.3, fail=None)
    assert spec.gate.ess_bulk == Gate().ess_bulk
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    assert AtLeast(warn=1, fail=0).status(float("nan")) == "fail"
    assert AtMost(warn=1).status(float("nan")) == "warn"
    assert (AtMost(warn=1, fail=2).status(1), AtMost(warn=1, fail=2).status(2.1)) == ("pass", "fail")


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"rhat": {"fail": 1}}, 'causal.gate.rhat: this field is not known (closest: "r_hat")'),
        ({"r_hat": {"fial": 1}}, 'causal.gate.r_hat.fial: this field is not known (closest: "fail")'),
        ({"r_hat": {"fail": 1.0}}, "a check warns before it fails"),
        ({"ess_bulk": {"fail": 500}}, "a check warns before it fails"),
    ],
)
def test_a_level_that_makes_no_sense_is_refused_by_name(gate: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as error:
        ModelSpec.from_config({"gate": gate})
    assert words in str(error.value)


def test_every_check_has_levels_and_a_checks_own_give_way_to_them() -> None:
    assert set(NAMES) <= set(Gate.model_fields)
    own = Check(check="leads_of_media", value=0.03, threshold=0.02, status="pass", detail="")
    strict = Gate(leads_of_media=AtLeast(warn=0.05, fail=0.04))
    again = judge_again(own, strict)
    assert (again.status, again.threshold) == ("fail", 0.05)
