"""The baseline: two kinds of columns whatever is asked for, priors as said, and the same columns in an update."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.inputs.baseline import build_baseline, freeze_terms
from liftos_pipelines.modules.causal.inputs.design import Design, Scales, build_design
from liftos_pipelines.modules.causal.inputs.panel import PanelError, build_panel
from liftos_pipelines.modules.causal.inputs.trend import GP_HORIZON, hilbert_basis, independent_knots
from liftos_pipelines.modules.causal.spec import ModelSpec, SpecError

CALENDAR: dict[str, Any] = {
    "holidays": ("DE", "DE-BY"),
    "holiday_geos": {"DE-BY": ("g1",)},
    "events": (
        {"name": "fair", "start": date(2023, 6, 7), "end": date(2023, 6, 20)},
        {"name": "storm", "start": date(2023, 9, 1), "end": date(2023, 9, 3), "geos": ("g0",)},
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "gp": {"trend": "gp"},
    "linear": {"trend": "linear"},
    "none": {"trend": "none", "seasonality": 0},
    "knots": {"knots": 7},
    "independent": {"knots": 7, "independent_knots": True},
    "calendar": CALENDAR,
    "each": CALENDAR | {"holidays_each": True},
    "noise": {"roles": {"price": "noise"}},
    "treatment": {"roles": {"price": "treatment"}, "treatment_reference": "min"},
    "level": {"level_sd": 2.0},
}


@pytest.fixture(scope="module")
def world() -> World:
    """Three geos; a control that differs by geo, one that does not, one that has the same mean in each week."""
    made = make_world(seed=5, geos=3, weeks=110)
    keys = made.controls.select("date", "geo")
    week = keys["date"].rank("dense").to_numpy().astype(float)
    shared = keys.with_columns(control=pl.lit("fuel"), value=pl.Series(np.sin(week / 3) * 40 + 900))
    turn = {"g0": 1.0, "g1": -0.4, "g2": -0.6}
    swing = keys.with_columns(
        control=pl.lit("swing"), value=pl.Series(np.cos(week) * keys["geo"].replace_strict(turn).to_numpy() + 3)
    )
    far = pl.col("value") + pl.when(pl.col("geo") == "g2").then(1000.0).otherwise(0.0)
    controls = pl.concat([made.controls.with_columns(far.alias("value")), shared, swing])
    return replace(made, controls=controls)


def design(world: World, weeks: int = 110, scales: Scales | None = None, **options: Any) -> Design:
    panel = build_panel(world.outcome, world.media, world.controls, channels=world.channels)
    frame = panel.frame.filter(pl.col("date") < world.weeks[0] + timedelta(weeks=weeks))
    return build_design(frame, ModelSpec(**options), scales=scales)


def national(world: World) -> pl.DataFrame:
    frame = build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame
    return frame.filter(pl.col("geo") == "g0").with_columns(geo=pl.lit("national"))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_column_is_shared_by_all_geos_or_sums_to_zero_over_them(world: World, option: str) -> None:
    made = design(world, **OPTIONS[option])
    _, geos, weeks = made.shape
    assert made.within.shape == (len(made.columns),)
    for name, column, within in zip(made.columns, made.baseline.T, made.within, strict=True):
        grid = column.reshape(geos, weeks)
        largest = max(1.0, float(np.abs(grid).max()))
        if within:
            assert np.abs(grid.sum(axis=0)).max() < 1e-9 * largest, name
            assert np.abs(grid).max() > 0, f"{name} says nothing"
        else:
            assert np.ptp(grid, axis=0).max() == 0, name
    assert len(set(made.columns)) == len(made.columns)
    assert np.isfinite(made.baseline).all()


def test_the_old_columns_would_have_failed(world: World) -> None:
    made = design(world)
    _, geos, weeks = made.shape
    own = np.zeros((geos, weeks))
    own[0] = 1
    assert np.abs(own.sum(axis=0)).max() > 0.5
    assert np.ptp(own, axis=0).max() > 0.5


def test_what_geos_could_do_before_they_still_can(world: World) -> None:
    made = design(world)
    _, geos, weeks = made.shape
    elapsed = np.arange(weeks) / 52
    wave = np.sin(2 * np.pi * np.array([w.timetuple().tm_yday for w in made.weeks]) / 365.25)
    for g in range(geos):
        own = np.zeros((geos, weeks))
        own[g] = 1
        for what, column in {"level": own, "slope": own * elapsed, "season": own * wave}.items():
            fit = made.baseline @ np.linalg.lstsq(made.baseline, column.ravel(), rcond=None)[0]
            assert np.abs(fit - column.ravel()).max() < 1e-6 * np.abs(column).max(), (what, g)


def test_one_geo_has_the_columns_it_always_had(world: World) -> None:
    frame = national(world)
    made = build_design(frame, ModelSpec(shock_z=None))
    weeks = np.arange(110.0)
    day = np.array([w.timetuple().tm_yday for w in made.weeks]) / 365.25
    expected = {"level": np.full(110, max(made.scales.centre[0] / made.scales.spread, 5.0))}
    expected |= {f"trend_{k}": np.clip(weeks / 26 - (k - 1), 0, 1) for k in range(1, 6)}
    for order in (1, 2, 3):
        expected[f"sin_{order}"] = 5 * np.sin(2 * np.pi * order * day)
        expected[f"cos_{order}"] = 5 * np.cos(2 * np.pi * order * day)
    for name in ("fuel", "price", "swing"):
        value = frame[f"control__{name}"].to_numpy()
        off = value - np.median(value)
        expected[f"control_{name}"] = 5 * off / (1.4826 * np.median(np.abs(off)))
    assert set(made.columns) == set(expected)
    assert not made.within.any()
    for name, column in expected.items():
        assert np.allclose(made.baseline[:, made.columns.index(name)], column), name


def test_a_control_is_split_into_what_all_geos_share_and_what_sets_one_apart(world: World) -> None:
    made = design(world, seasonality=0)
    controls = [name for name in made.columns if name.startswith("control_") and "@" not in name]
    # Fuel is the same everywhere, the mean of swing never changes.
    assert controls == ["control_fuel", "control_price", "control_price_within", "control_swing_within"]
    within = made.baseline[:, made.columns.index("control_price_within")].reshape(3, -1)
    # A lasting distance of 1000 between geos is their level, and would otherwise drown what varies.
    assert np.abs(within.mean(axis=1)).max() < 1e-9 * 5
    assert 0.5 < within.std() / 5 < 2


def test_prior_differences_between_geos_are_those_of_independent_coefficients(world: World) -> None:
    made = design(world, geo_sd=0.5)
    slopes = [i for i, name in enumerate(made.columns) if name.startswith("slope@")]
    last = made.baseline[:, slopes].reshape(3, -1, 3)[:, -1]
    difference = last[0] - last[1]
    years = 109 * 7 / 365.25
    assert float(np.sqrt(difference @ difference)) == pytest.approx(np.sqrt(2) * 0.5 * years)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_update_continues_the_columns_of_the_fit(world: World, option: str) -> None:
    options = OPTIONS[option] | {"shock_z": None}
    fit = design(world, weeks=90, **options)
    stored = Scales.from_json(fit.scales.to_json())
    later = design(world, weeks=110, scales=stored, **options)
    again = design(world, weeks=90, scales=stored, **options)
    assert again.columns == fit.columns
    assert np.array_equal(again.baseline, fit.baseline), "scales come back to the last bit"
    seen = [later.columns.index(name) for name in fit.columns]
    first = later.baseline.reshape(3, 110, -1)[:, :90][:, :, seen].reshape(270, -1)
    assert np.allclose(first, fit.baseline, rtol=1e-12, atol=1e-12)


def test_knots_and_weights_are_those_of_meridian() -> None:
    # meridian/model/knots.py: linspace(0, n - 1, k, dtype=int), weights by distance to the two neighbours.
    weights = independent_knots(np.arange(12.0), 10, 4)
    where = [0, 3, 6, 9]
    expected = np.zeros((12, 4))
    for t in range(12):
        k = min(np.searchsorted(where, t, side="right") - 1, 3)
        if t >= 9:
            expected[t, 3] = 1
        else:
            expected[t, k] = (where[k + 1] - t) / 3
            expected[t, k + 1] = (t - where[k]) / 3
    assert np.allclose(weights, expected)
    assert np.allclose(independent_knots(np.arange(5.0), 5, 1), 1)
    uneven = independent_knots(np.arange(156.0), 156, 10)
    assert np.argmax(uneven, axis=0)[:-1].tolist() == np.linspace(0, 155, 10, dtype=int)[:-1].tolist()
    assert np.allclose(uneven.sum(axis=1), 1)


def test_independent_knots_carry_the_level(world: World) -> None:
    made = build_design(national(world), ModelSpec(knots=10, independent_knots=True, seasonality=0, shock_z=None))
    assert [name for name in made.columns if "control" not in name] == [f"knot_{k}" for k in range(1, 11)]
    knots = made.baseline[:, :10]
    at = np.linspace(0, 109, 10, dtype=int)
    assert np.allclose((knots[at] ** 2).sum(axis=1), 25), "Normal(0, 5) at each knot"
    assert (knots**2).sum(axis=1).max() == pytest.approx(25)


@pytest.mark.parametrize(("weeks", "lengthscale"), [(52, 26.0), (104, 13.0), (156, 26.0), (156, 60.0), (260, 26.0)])
def test_the_gaussian_process_has_the_covariance_it_is_named_after(weeks: int, lengthscale: float) -> None:
    at = np.arange(weeks + 20.0)
    basis = hilbert_basis(at, weeks, lengthscale=lengthscale, sd=1.5)
    exact = 1.5**2 * np.exp(-0.5 * ((at[:, None] - at[None, :]) / lengthscale) ** 2)
    assert np.abs(basis @ basis.T - exact).max() < 0.01 * 1.5**2
    few = basis[:, : basis.shape[1] // 3]
    assert np.abs(few @ few.T - exact).max() > 0.1, "a third of the functions is not enough"


def test_a_gaussian_process_ends_where_it_can_no_longer_be_right() -> None:
    hilbert_basis(np.arange(100.0 + GP_HORIZON), 100, lengthscale=26, sd=1)
    with pytest.raises(PanelError, match="refit"):
        hilbert_basis(np.arange(101.0 + GP_HORIZON), 100, lengthscale=26, sd=1)


def test_more_knots_than_weeks_are_refused(world: World) -> None:
    with pytest.raises(PanelError, match=r"knots is 200.*110 weeks"):
        design(world, knots=200)


@pytest.mark.parametrize("reference", ["min", "median", "zero"])
def test_a_treatment_contributes_nothing_at_its_reference(world: World, reference: str) -> None:
    made = design(world, roles={"price": "treatment"}, treatment_reference=reference, shock_z=None)
    (treatment,) = made.treatments
    price = world.controls.filter(pl.col("control") == "price")["value"].to_numpy()
    assert treatment.reference == pytest.approx({"min": price.min(), "median": np.median(price), "zero": 0}[reference])
    names = [made.columns[i] for i in treatment.columns]
    assert names == ["control_price", "control_price_within", *(f"control_price@g{g}" for g in range(3))]
    values = np.full((1, 3, 110), treatment.reference)
    spec = ModelSpec(roles={"price": "treatment"}, treatment_reference=reference, shock_z=None)
    mine = replace(made.scales, terms=tuple(term for term in made.scales.terms or () if term.name == "price"))
    flat = build_baseline(made.geos, made.weeks, ["price"], values, mine, spec)
    assert np.abs(flat.treatments[0].change).max() < 1e-9
    # With one coefficient for all geos the contribution is that coefficient times the distance from the reference.
    term = next(term for term in mine.terms or () if term.name == "price")
    beta = np.array([term.spread, term.within_spread, 0, 0, 0]) / 5
    counted = treatment.change @ beta
    brought = world.controls.filter(pl.col("control") == "price").sort("geo", "date")["value"].to_numpy()
    assert np.allclose(counted, brought - treatment.reference)


def test_noise_has_a_tighter_prior_and_a_confounder_does_not(world: World) -> None:
    plain = design(world, shock_z=None)
    noise = design(world, roles={"price": "noise"}, shock_z=None)
    for name, factor in (("control_price", 5.0), ("control_price_within", 5.0), ("control_fuel", 1.0)):
        i = plain.columns.index(name)
        assert np.allclose(plain.baseline[:, i], factor * noise.baseline[:, noise.columns.index(name)])


def test_holidays_of_a_part_of_the_geos_are_split_and_events_keep_their_share(world: World) -> None:
    made = design(world, shock_z=None, **CALENDAR)
    fair = made.baseline[:, made.columns.index("event_fair")].reshape(3, -1)
    at = made.weeks.index(date(2023, 6, 5))
    assert fair[:, at - 1 : at + 4] == pytest.approx(np.tile([0, 5 * 5 / 7, 5, 5 * 2 / 7, 0], (3, 1)))
    assert "event_fair_within" not in made.columns
    storm = {
        name: made.baseline[:, made.columns.index(name)].reshape(3, -1)
        for name in ("event_storm", "event_storm_within")
    }
    week = made.weeks.index(date(2023, 8, 28))
    assert storm["event_storm"][:, week] == pytest.approx(5 * 3 / 7 / 3)
    assert (storm["event_storm"] + storm["event_storm_within"])[:, week] == pytest.approx([5 * 3 / 7, 0, 0])
    assert "holiday_DE" in made.columns
    assert "holiday_DE_within" not in made.columns
    assert "holiday_DE-BY_within" in made.columns
    country = made.baseline[:110, made.columns.index("holiday_DE")]
    assert country.std() == pytest.approx(5, rel=0.01), "standardised like a control"


def test_an_event_after_the_fit_has_its_term_already(world: World) -> None:
    later = {"name": "launch", "start": date(2030, 1, 1), "end": date(2030, 1, 7)}
    made = design(world, events=(later,))
    assert not made.baseline[:, made.columns.index("event_launch")].any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"holidays": ("XX",)}, "known for XX"),
        ({"holidays": ("DE",), "holiday_geos": {"DE": ("g9",)}}, "holiday_geos names geo g9"),
        (
            {"events": ({"name": "e", "start": "2023-02-01", "end": "2023-02-01", "geos": ("g9",)},)},
            "events .e. names geo g9",
        ),
    ],
)
def test_an_unknown_country_or_geo_is_refused_by_name(world: World, options: dict[str, Any], said: str) -> None:
    with pytest.raises(PanelError, match=said):
        design(world, **options)


def test_a_control_of_the_fit_must_be_in_the_update(world: World) -> None:
    made = design(world)
    with pytest.raises(PanelError, match="control price of the fit is not in the panel"):
        build_baseline(made.geos, made.weeks, ["fuel"], np.ones((1, 3, 110)), made.scales, ModelSpec())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"roles": {"price": "noise"}, "mediators": ["price"]}, "price stands in mediators and has the role noise"),
        ({"roles": {"price": "cause"}}, r"causal\.roles\.price: .*'confounder'"),
        (
            {"roles": {"sentiment_index": "noise"}, "features": {"sentiment_index": "confounder"}},
            "sentiment_index stands",
        ),
        ({"trend": "gp", "knots": 5}, "the trend is gp"),
        ({"holidays": ["Germany"]}, r"causal\.holidays\.0"),
        ({"holiday_geos": {"DE": ["g0"]}}, "DE, which is not in holidays"),
        ({"events": [{"name": "e", "start": "2023-02-02", "end": "2023-02-01"}]}, "before its start"),
        ({"events": [{"nam": "e"}]}, r"events\.0\.nam: .*closest: \"name\""),
    ],
)
def test_a_contradiction_is_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        ModelSpec.from_config(config)


def test_mediators_are_one_list_however_they_were_said() -> None:
    spec = ModelSpec(roles={"visits": "mediator", "price": "treatment"}, mediators=("recall",))
    assert spec.mediators == ("recall", "visits")
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    assert (spec.role("price"), spec.role("weather")) == ("treatment", "confounder")


def test_units_of_terms_do_not_depend_on_the_order_of_controls(world: World) -> None:
    values = np.random.default_rng(1).normal(size=(2, 3, 110))
    weeks = [date(2023, 1, 2) + timedelta(weeks=i) for i in range(110)]
    geos = ("g0", "g1", "g2")
    one = freeze_terms(geos, weeks, ["a", "b"], values, ModelSpec())
    two = freeze_terms(geos, weeks, ["b", "a"], values[::-1], ModelSpec())
    assert {term.name: term for term in one} == {term.name: term for term in two}
