"""The weekly panel: what is aggregated, what is refused by name, what is left out and said."""

from datetime import date, timedelta

import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.design import build_design, require_enough_weeks
from liftos_pipelines.modules.causal.panel import Panel, PanelError, build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec, SpecError


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=1, geos=2, weeks=60)


def build(world: World, **changed: pl.DataFrame) -> Panel:
    frames = {"outcome": world.outcome, "media": world.media, "controls": world.controls} | changed
    return build_panel(frames["outcome"], frames["media"], frames["controls"], channels=world.channels)


def daily(frame: pl.DataFrame, sums: list[str]) -> pl.DataFrame:
    """Each week's row as seven equal days."""
    days = [
        frame.with_columns(date=pl.col("date") + timedelta(days=i), **{s: pl.col(s) / 7 for s in sums})
        for i in range(7)
    ]
    return pl.concat(days)


def test_daily_rows_become_the_weekly_panel(world: World) -> None:
    weekly = build(world).frame
    from_days = build(
        world,
        outcome=daily(world.outcome, ["outcome", "revenue"]),
        media=daily(world.media, ["spend", "exposure"]),
        controls=daily(world.controls, []),
    ).frame
    assert weekly.columns == from_days.columns
    for name in weekly.columns[2:]:
        assert (weekly[name] - from_days[name]).abs().max() < 1e-6 * max(1.0, float(weekly[name].abs().max()))


def test_a_week_that_lacks_days_at_the_end_is_left_out_and_said(world: World) -> None:
    cut = world.weeks[-1] + timedelta(days=3)
    frames = {
        "outcome": daily(world.outcome, ["outcome", "revenue"]),
        "media": daily(world.media, ["spend", "exposure"]),
        "controls": daily(world.controls, []),
    }
    panel = build(world, **{name: frame.filter(pl.col("date") < cut) for name, frame in frames.items()})
    assert panel.frame["date"].max() == world.weeks[-2]
    assert any("outside whole weeks" in note for note in panel.notes)


def test_only_mapped_channels_are_kept(world: World) -> None:
    panel = build_panel(world.outcome, world.media, world.controls, channels=["tv"])
    assert panel.channels == ["tv"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.filter(~((pl.col("geo") == "g1") & (pl.col("date") == date(2023, 5, 1)))), "g1 .* 2023-05-01"),
        (lambda f: f.filter(pl.col("date") != date(2023, 5, 1)), "2023-04-24 to 2023-05-08"),
        (
            lambda f: f.with_columns(
                outcome=pl.when(pl.col("geo") == "g0").then(-pl.col("outcome")).otherwise("outcome")
            ),
            "outcome is -.* in g0",
        ),
        (lambda f: f.with_columns(outcome=pl.lit(float("nan"))), "outcome is nan"),
        (lambda f: f.with_columns(outcome=pl.lit(None, pl.Float64)), "outcome is None"),
        (lambda f: f.with_columns(outcome=pl.lit(5.0)), "geo g0 never changes"),
        (lambda f: f.head(0), "no row"),
        (lambda f: f.with_columns(date=pl.col("date").dt.month_start()).unique(["date", "geo"]), "31 days"),
    ],
)
def test_an_outcome_that_cannot_carry_a_model_is_refused_by_name(world: World, change, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PanelError, match=said):
        build(world, outcome=change(world.outcome))


def test_media_with_holes_or_below_zero_are_refused_by_channel_and_week(world: World) -> None:
    hole = world.media.filter(~((pl.col("channel") == "tv") & (pl.col("date") == world.weeks[4])))
    with pytest.raises(PanelError, match=f"spend of tv has no value in the week of {world.weeks[4]}"):
        build(world, media=hole)
    with pytest.raises(PanelError, match="spend of tv is -"):
        build(world, media=world.media.with_columns(spend=-pl.col("spend")))
    with pytest.raises(PanelError, match="channel tv is mapped"):
        build(world, media=world.media.filter(pl.col("channel") != "tv"))


@pytest.mark.parametrize(("value", "said"), [(0.0, "zero throughout"), (7.0, "never changes")])
def test_a_channel_without_variation_is_left_out_and_named(world: World, value: float, said: str) -> None:
    flat = world.media.with_columns(exposure=pl.when(pl.col("channel") == "tv").then(value).otherwise("exposure"))
    panel = build(world, media=flat)
    assert panel.channels == ["search", "social"]
    assert any("tv" in note and said in note for note in panel.notes)
    with pytest.raises(PanelError, match="nothing to attribute"):
        build(world, media=world.media.with_columns(exposure=pl.lit(value)))


def test_partly_known_revenue_is_not_used_and_said(world: World) -> None:
    part = world.outcome.with_columns(revenue=pl.when(pl.col("geo") == "g0").then("revenue"))
    panel = build(world, outcome=part)
    assert panel.frame["revenue_per_outcome"].null_count() == panel.frame.height
    assert any("revenue" in note for note in panel.notes)


def test_an_unknown_mediator_is_named(world: World) -> None:
    with pytest.raises(PanelError, match=r"prize.*price"):
        build_panel(world.outcome, world.media, world.controls, channels=world.channels, mediators=["prize"])


def test_fewer_weeks_than_parameters_are_refused_with_both_numbers() -> None:
    short = make_world(seed=1, geos=2, weeks=16)
    design = build_design(build(short).frame, ModelSpec())
    with pytest.raises(PanelError, match=r"16 weeks are fewer than the \d+ parameters"):
        require_enough_weeks(design)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"chain": 4}, r"causal\.chain: .*closest: \"chains\""),
        ({"saturation": "cubic"}, r"causal\.saturation: .*'cubic'"),
        ({"max_lag": -1}, r"causal\.max_lag"),
        ({"roi_priors": {"tv": {"median": -1, "sigma": 1}}}, r"causal\.roi_priors\.tv\.median"),
        ({"draws": 100, "chains": 2}, "below 400"),
    ],
)
def test_a_wrong_specification_names_file_field_and_value(config: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        ModelSpec.from_config(config, where="clients/acme/client.yaml")
