"""The weekly panel: what is aggregated, what is refused by name, what is left out and said."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.inputs.design import build_design, require_enough_weeks
from liftos_pipelines.modules.causal.inputs.panel import Panel, PanelError, build_panel, panel_weeks, roll_up_reach
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


def test_a_role_of_a_control_that_is_not_there_is_named(world: World) -> None:
    with pytest.raises(PanelError, match=r"causal\.roles names prize.*price"):
        build_panel(world.outcome, world.media, world.controls, channels=world.channels, roles={"prize": "noise"})


@pytest.mark.parametrize("what", ["outcome", "media", "controls"])
def test_a_week_that_stands_twice_is_refused_and_not_added_up(world: World, what: str) -> None:
    frame = getattr(world, what)
    row = frame.filter((pl.col("geo") == "g1") & (pl.col("date") == world.weeks[7])).head(1)
    with pytest.raises(PanelError, match=f"2 .*rows.* {world.weeks[7]}") as error:
        build(world, **{what: pl.concat([frame, row])})
    assert "g1" in str(error.value)


def test_a_day_that_stands_twice_is_refused(world: World) -> None:
    days = daily(world.outcome, ["outcome", "revenue"])
    with pytest.raises(PanelError, match="marketing_outcome has 2 rows on"):
        build(world, outcome=pl.concat([days, days.head(1)]))


def test_a_week_of_media_that_lacks_a_day_is_not_summed_as_if_whole(world: World) -> None:
    frames = {"outcome": daily(world.outcome, ["outcome", "revenue"]), "controls": daily(world.controls, [])}
    day = world.weeks[5] + timedelta(days=2)
    short = daily(world.media, ["spend", "exposure"]).filter(~((pl.col("date") == day) & (pl.col("channel") == "tv")))
    with pytest.raises(PanelError, match=f"spend of tv has no value in the week of {world.weeks[5]}"):
        build(world, media=short, **frames)


def test_geos_without_an_outcome_are_left_out_and_said(world: World) -> None:
    abroad = world.media.filter(pl.col("geo") == "g0").with_columns(geo=pl.lit("abroad"))
    panel = build(world, media=pl.concat([world.media, abroad]))
    assert panel.frame["geo"].unique().sort().to_list() == world.geos
    assert any("abroad" in note for note in panel.notes)


def test_a_control_without_geo_holds_for_all(world: World) -> None:
    everywhere = world.controls.filter(pl.col("geo") == "g0").with_columns(
        geo=pl.lit(None, pl.String), control=pl.lit("fuel")
    )
    frame = build(world, controls=pl.concat([world.controls, everywhere])).frame
    fuel = [frame.filter(pl.col("geo") == geo)["control__fuel"].to_list() for geo in world.geos]
    assert fuel[0] == fuel[1] == everywhere.sort("date")["value"].to_list()


def test_the_weeks_of_a_panel_are_known_before_it_is_built(world: World) -> None:
    assert panel_weeks(world.outcome) == world.weeks
    days = daily(world.outcome, ["outcome", "revenue"])
    cut = days.filter(pl.col("date").is_between(world.weeks[0] + timedelta(days=1), world.weeks[-1]))
    media, controls = daily(world.media, ["spend", "exposure"]), daily(world.controls, [])
    built = build(world, outcome=cut, media=media, controls=controls).frame
    assert panel_weeks(cut) == built["date"].unique().sort().to_list() == world.weeks[1:-1]


def with_reach(world: World, frequency: pl.Expr) -> pl.DataFrame:
    """Social has reach and frequency, the others have not."""
    social = pl.col("channel") == "social"
    reach = pl.when(pl.col("exposure") > 0).then(pl.col("exposure") / 3).otherwise(0.0)
    return world.media.with_columns(
        reach=pl.when(social).then(reach), frequency=pl.when(social).then(frequency).cast(pl.Float64)
    )


SEEN = pl.when(pl.col("exposure") > 0).then(3.0).otherwise(0.0)


def test_reach_and_frequency_stand_beside_exposure_where_a_channel_has_them(world: World) -> None:
    frame = build(world, media=with_reach(world, SEEN)).frame
    assert [name for name in frame.columns if name.startswith(("reach__", "frequency__"))] == [
        "reach__social",
        "frequency__social",
    ]
    product = frame["reach__social"] * frame["frequency__social"]
    assert (product - frame["exposure__social"]).abs().max() < 1e-6 * frame["exposure__social"].max()  # type: ignore[operator]


def test_days_of_reach_become_a_week_with_the_frequency_of_its_impressions(world: World) -> None:
    media = daily(with_reach(world, SEEN), ["spend", "exposure", "reach"])
    # One day shows twice as often to the same number: 3 x 6 days and 6 x 1 day.
    monday = pl.when(pl.col("date").dt.weekday() == 1).then(2 * pl.col("frequency")).otherwise("frequency")
    panel = build(
        world,
        outcome=daily(world.outcome, ["outcome", "revenue"]),
        media=media.with_columns(frequency=monday),
        controls=daily(world.controls, []),
    )
    shown = panel.frame.filter(pl.col("reach__social") > 0)
    assert shown["frequency__social"].to_numpy() == pytest.approx(24 / 7)
    assert panel.frame.filter(pl.col("reach__social") == 0)["frequency__social"].unique().to_list() == [0]
    assert any("reach of social" in note for note in panel.notes)


@pytest.mark.parametrize(
    ("frequency", "said"),
    [
        (pl.when(pl.col("exposure") > 0).then(0.5).otherwise(0.0), "frequency 0.5"),
        (pl.lit(2.0), "reach of social is 0 and its frequency 2"),
        (pl.lit(None, pl.Float64), "frequency of social has no value"),
    ],
)
def test_reach_and_frequency_that_cannot_be_are_refused(world: World, frequency: pl.Expr, said: str) -> None:
    with pytest.raises(PanelError, match=said):
        build(world, media=with_reach(world, frequency))


def test_a_frequency_a_little_below_one_is_an_estimates_error_and_said(world: World) -> None:
    near = pl.when(pl.col("exposure") > 0).then(0.97).otherwise(0.0)
    panel = build(world, media=with_reach(world, near))
    assert any("frequency of social is below 1" in note and "least 0.970" in note for note in panel.notes)
    assert not [note for note in build(world, media=with_reach(world, SEEN)).notes if "below 1" in note]


def test_reach_of_geos_adds_up_and_frequency_is_impressions_over_reach(shared_data: Path) -> None:
    raw = pl.read_csv(shared_data / "mmm/meridian/geo_media_rf.csv", try_parse_dates=True)
    rows = raw.select("geo", date="time", reach="Channel3_reach", frequency="Channel3_frequency")
    national = roll_up_reach(rows, ["date"])
    assert national.height == 156
    summed = raw.group_by("time").agg(pl.col("Channel3_impression").sum(), pl.col("Channel3_reach").sum()).sort("time")
    assert national["reach"].to_numpy() == pytest.approx(summed["Channel3_reach"].to_numpy())
    impressions = (national["reach"] * national["frequency"]).to_numpy()
    # The file rounds frequency to about eight digits.
    assert impressions == pytest.approx(summed["Channel3_impression"].to_numpy(), rel=1e-4)
    assert national.filter(pl.col("reach") > 0)["frequency"].min() >= 1  # type: ignore[operator]
    mean = raw.group_by("time").agg(pl.col("Channel3_frequency").mean()).sort("time")["Channel3_frequency"].to_numpy()
    assert np.abs(national["frequency"].to_numpy() - mean).max() > 0.01, "a mean of frequencies is not the frequency"


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
