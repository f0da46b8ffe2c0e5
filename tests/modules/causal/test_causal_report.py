"""The report of a model: it stands alone, holds everything, escapes names, and says no more than the gate allows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from modules.causal import fitted_worlds
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.answers.contributions import contributions
from liftos_pipelines.modules.causal.answers.results import channel_results, response_curves
from liftos_pipelines.modules.causal.checks.validation import NAMES, validate
from liftos_pipelines.modules.causal.engine.fit import fit
from liftos_pipelines.modules.causal.engine.reading import read_fitted
from liftos_pipelines.modules.causal.inputs.design import build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.plan.budget import budget_plan
from liftos_pipelines.modules.causal.report import plots, svg
from liftos_pipelines.modules.causal.report.measures import measure
from liftos_pipelines.modules.causal.report.page import Report, report_page
from liftos_pipelines.modules.causal.report.words import NOT_PUBLISHED, verdict
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.page_style import STYLE

HOSTILE = '<b>tv</b>"><script>alert(1)</script>{{ 7*7 }}'
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SPEC = ModelSpec(chains=2, draws=400, tune=300, max_lag=4, seasonality=1, holdout_weeks=6)
PRAISE = ("✓ passed", f"all {len(NAMES)} checks passed", "every check that could be made passed", "Published")


class Reader(HTMLParser):
    """Checks that tags are balanced and collects tags, attributes and text."""

    VOID = ("meta", "br", "img", "link", "input", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data.replace(svg.NBSP, " ")


def _renamed(world: World) -> World:
    """The world with its first channel under a name that tries to leave its place."""
    first = world.channels[0]
    media = world.media.with_columns(pl.col("channel").replace(first, HOSTILE))
    return World(**{**vars(world), "media": media, "channels": (HOSTILE, *world.channels[1:])})


@pytest.fixture(scope="module")
def made() -> Report:
    """A real fit of two geos, all of whose checks passed (their statuses are set: what they find is tested elsewhere)."""
    world = _renamed(make_world(seed=3, geos=2, weeks=80))
    panel = build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame
    data = fit(build_design(panel, SPEC), SPEC, None, cores=1, notes=("experiment X not used: its window is outside",))
    fitted = read_fitted(data, panel)
    checks = validate(data, fitted, SPEC).with_columns(status=pl.lit("pass"))
    return Report(
        client="acme",
        currency="CHF",
        now=NOW,
        version=4,
        run_id="0123456789abcdef",
        serves=True,
        why="version 4 passed the publish gate",
        checks=checks,
        results=channel_results(fitted),
        curves=response_curves(fitted, 52),
        plan=budget_plan(fitted, plan_weeks=52, band=0.3, seed=1),
        contributions=contributions(fitted),
        measures=measure(data, fitted, SPEC),
        left_out="channel radio left out: its exposure is zero throughout",
    )


def with_status(report: Report, status: str, *names: str) -> Report:
    changed = pl.when(pl.col("check").is_in(names)).then(pl.lit(status)).otherwise("status")
    return replace(report, checks=report.checks.with_columns(status=changed))


def test_the_same_inputs_give_the_same_bytes(made: Report) -> None:
    assert report_page(made) == report_page(made)


def test_the_page_stands_alone_and_is_well_formed(made: Report) -> None:
    page = report_page(made)
    reader = Reader(page)
    assert reader.open == []
    assert not {"script", "iframe", "img", "link", "object", "embed", "image", "use"} & set(reader.tags)
    assert [v for n, v in reader.attributes if n in ("src", "srcset", "action", "style", "xlink:href")] == []
    links = [value or "" for name, value in reader.attributes if name == "href"]
    anchors = {value for name, value in reader.attributes if name == "id"}
    assert links
    assert all(link.startswith("#") and link[1:] in anchors for link in links)
    assert not re.search(r"https?://|url\(|@import", page)
    assert "default-src 'none'" in page
    assert len(page.encode()) < 3_000_000


def test_it_holds_every_channel_check_and_section(made: Report) -> None:
    text = Reader(report_page(made)).text
    for name in made.results["channel"].unique():
        # Contributions, returns, marginal returns, numbers, curves, plan, carry-over and priors.
        assert text.count(name) >= 8, name
    for check in NAMES:
        assert check.replace("_", " ") in text
    for detail in made.checks["detail"]:
        assert detail in text
    for words in (
        "Fit: observed and modelled", "Contributions over time", "Return on spend", "Marginal return", "Cost per outcome",
        "Response curves", "Budget plan", "Certificate", "Carry-over", "What was assumed", "every check", "Attempts",
        "What the model assumes and cannot say", "version 4", "0123456789abcdef", "channel radio left out",
        "experiment X not used", "No lift test entered", "Fit by geo",
    ):  # fmt: skip
        assert words in text, words


def test_hostile_names_stay_text(made: Report) -> None:
    page = report_page(replace(made, client=HOSTILE, why=HOSTILE, left_out=HOSTILE, plan_note=HOSTILE))
    reader = Reader(page)
    assert "script" not in reader.tags
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert HOSTILE in reader.text
    assert "<script>" not in page
    labels = [value for name, value in reader.attributes if name == "aria-label"]
    assert any(HOSTILE in (label or "") for label in labels)


@pytest.mark.parametrize("failing", [("r_hat",), ("interval_coverage", "holdout_skill")])
def test_a_failing_model_is_never_called_good_and_gives_no_plan(made: Report, failing: tuple[str, ...]) -> None:
    page = report_page(replace(with_status(made, "fail", *failing), serves=False, why="version 3 serves"))
    text = Reader(page).text
    assert f"{NOT_PUBLISHED}: {len(failing)} check" in text
    assert all(name.replace("_", " ") in text[:2000] for name in failing)
    assert text.index(NOT_PUBLISHED) < text.index("Over 80 weeks")
    assert not [words for words in PRAISE if words in text]
    assert "the model puts" not in text
    assert text.index("If it held, the following would be so.") < text.index("has returned")
    assert "Certificate" not in text
    assert "would have brought" not in text
    # The same model beside it, with all checks passed, is published.
    assert f"Published: all {len(NAMES)} checks passed." in Reader(report_page(made)).text


def test_warnings_and_checks_not_made_are_said_at_the_top(made: Report) -> None:
    text = Reader(report_page(with_status(with_status(made, "warn", "multicollinearity"), "unknown", "bfmi"))).text
    assert "Published, with 1 warning: multicollinearity." in text
    assert "1 check could not be made." in text
    assert f"{len(NAMES) - 2} of {len(NAMES)}" in text
    text = Reader(report_page(with_status(made, "unknown", "bfmi"))).text
    assert "every check that could be made passed" in text
    assert f"all {len(NAMES)} checks" not in text


def test_a_model_without_checks_is_not_published_and_one_served_by_hand_is_said_to_be(made: Report) -> None:
    none = made.checks.clear()
    assert verdict(none, False, "").lead.startswith(NOT_PUBLISHED)
    assert not verdict(none, True, "").sound
    assert not verdict(none, True, "", "failed: r_hat").sound
    assert verdict(none, True, "", "passed").sound
    by_hand = verdict(with_status(made, "fail", "r_hat").checks, True, "moved by hand")
    assert by_hand.lead == "Served by hand although 1 check failed (r hat)."
    assert not by_hand.sound
    waits = verdict(made.checks, False, "version 3 is held by hand")
    assert waits.lead.startswith("Passed the publish gate, but does not serve")


def test_the_words_are_those_of_the_numbers(made: Report) -> None:
    whole = made.results.filter(pl.col("geo") == "all")
    parts = {
        "channel": ["tv", "search"], "roi": [4.0, 0.5], "roi_low": [2.0, 0.2], "roi_high": [6.0, 0.9],
        "contribution_share": [0.3, 0.1], "contribution": [300.0, 100.0], "contribution_low": [250.0, 90.0],
        "contribution_high": [350.0, 110.0],
    }  # fmt: skip
    results = whole.head(2).with_columns(pl.Series(name, values) for name, values in parts.items())
    chances = pl.DataFrame({"channel": ["tv", "search"], "above_one": [1.0, 0.0], "highest": [1.0, 0.0]})
    measures = replace(made.measures, chances=chances, media_share=(0.4, 0.35, 0.45))
    text = Reader(report_page(replace(made, results=results, measures=measures))).text
    assert "40 % of the outcome down to media (90 % interval 35 % to 45 %)" in text
    assert "The largest part is that of tv (30 %)." in text
    assert "Each CHF spent on tv has returned 4.00 (2.00 to 6.00) of revenue, the highest of all" in text
    assert "tv returned more revenue than was spent; search returned less revenue than was spent" in text
    # Where intervals overlap, and the best is best by a hair, it says so.
    close = results.with_columns(
        roi=pl.Series([1.2, 1.1]), roi_low=pl.Series([0.5, 0.5]), contribution_low=pl.Series([50.0, 50.0]),
        roi_high=pl.Series([2.0, 2.0]),
    )  # fmt: skip
    even = replace(measures, chances=chances.with_columns(highest=pl.Series([0.55, 0.45])))
    text = Reader(report_page(replace(made, results=close, measures=even))).text
    assert "only 55 %, so the order is not settled" in text
    assert "but the interval reaches that of search" in text
    assert "tv and search may have returned more or less than was spent" in text


def test_a_plan_whose_gain_is_not_settled_says_so(made: Report) -> None:
    doubtful = made.plan.with_columns(uplift=pl.lit(5e4), uplift_low=pl.lit(-2e4), uplift_high=pl.lit(9e4))
    text = Reader(report_page(replace(made, plan=doubtful))).text
    assert "reaches from a loss to a gain" in text
    settled = Reader(report_page(replace(made, plan=doubtful.with_columns(uplift_low=pl.lit(2e4))))).text
    assert "reaches from a loss to a gain" not in settled


def test_an_roi_is_the_same_number_in_returns_and_beside_its_prior(made: Report) -> None:
    whole = made.results.filter((pl.col("geo") == "all") & (pl.col("kind") == "paid"))
    both = whole.join(made.measures.priors.filter(pl.col("on") == "ROI"), on="channel")
    assert both.height == whole.height
    assert both["mean"].to_list() == pytest.approx(both["roi"].to_list(), rel=1e-6)


def test_held_out_weeks_are_those_of_the_back_tests(made: Report) -> None:
    fit_ = made.measures.fit
    assert fit_["held_middle"].count() == 18
    assert fit_["held_middle"][-18:].null_count() == 0
    # A forecast knows less than the fit that has seen the week.
    last = fit_.tail(18)
    assert float((last["held_high"] - last["held_low"]).sum()) > 0.9 * float((last["high"] - last["low"]).sum())


def test_what_is_unknown_is_said_and_not_drawn() -> None:
    world = make_world(seed=4, geos=1, weeks=70)
    outcome = world.outcome.with_columns(revenue=pl.lit(None, pl.Float64), revenue_per_outcome=pl.lit(None, pl.Float64))
    panel = build_panel(outcome, world.media, world.controls, channels=world.channels).frame
    spec = SPEC.model_copy(update={"folds": 0})
    data = fit(build_design(panel, spec), spec, None, cores=1)
    fitted = read_fitted(data, panel)
    page = report_page(
        Report(
            client="acme", currency="EUR", now=NOW, version=None, run_id=None, serves=False, why="",
            checks=validate(data, fitted, spec), results=channel_results(fitted), curves=response_curves(fitted, 26),
            plan=budget_plan(fitted, plan_weeks=26, band=0.3, seed=1), contributions=contributions(fitted),
            measures=measure(data, fitted, spec),
        )
    )  # fmt: skip
    text = Reader(page).text
    assert "Revenue is unknown" in text
    assert "No week was held out" in text
    assert "share of the outcome" in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S).lower().replace("finance", "")
    assert "Marginal return" not in text


def test_many_channels_and_negative_parts_are_drawn_and_none_is_lost() -> None:
    rng = np.random.default_rng(1)
    weeks = pl.date_range(pl.date(2024, 1, 1), pl.date(2025, 12, 29), "1w", eager=True)
    names = ["baseline", "price", *(f"channel {i}" for i in range(12))]
    kinds = ["baseline", "treatment", *["paid"] * 12]
    frame = pl.concat(
        pl.DataFrame(
            {"date": weeks, "geo": "all", "channel": n, "kind": k, "contribution": rng.normal(5, 4, len(weeks))}
        )
        for n, k in zip(names, kinds, strict=True)
    )
    from liftos_pipelines.modules.causal.report.charts import contribution_chart

    drawn = contribution_chart(frame)
    reader = Reader(drawn)
    assert "6 others" in reader.text
    assert "nan" not in drawn
    assert plots.png(plots.contributions_figure(frame))[:4] == b"\x89PNG"  # type: ignore[arg-type]


def test_pictures_for_metadata_are_png(made: Report) -> None:
    figures = (
        plots.fit_figure(made.measures.fit), plots.forest_figure(made.results), plots.curves_figure(made.curves),
        plots.contributions_figure(made.contributions),
    )  # fmt: skip
    for figure in figures:
        assert figure is not None
        assert plots.png(figure)[:4] == b"\x89PNG"
    assert plots.curves_figure(made.curves.clear()) is None
    assert plots.forest_plot(made.results.with_columns(roi=pl.lit(None, pl.Float64))) == ""


def test_multiplicative_parts_are_told_as_such() -> None:
    world = make_world(seed=5, geos=1, weeks=70)
    spec = SPEC.model_copy(update={"form": "multiplicative"})
    fitted = fitted_worlds.of_small_world(world, spec, wobble=0.1)
    from liftos_pipelines.modules.causal.report.charts import contribution_chart
    from liftos_pipelines.modules.causal.report.words import limits_of

    assert "interplay" in Reader(contribution_chart(contributions(fitted))).text
    assert "do not simply add up" in " ".join(limits_of("multiplicative", ()))
    assert "2 lift tests" in " ".join(limits_of("additive", ("a", "b")))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0.0, "0"), (0.00911, "0.0091"), (0.0664, "0.066"), (0.999, "1.00"), (2.914, "2.91"), (-7.7, "-7.70"),
        (12.34, "12.3"), (999.7, "1,000"), (1250.4, "1,250"), (83_400, "83.4 k"), (999_990, "1.00 M"),
        (9_999_900, "10.0 M"), (3.1e9, "3.10 bn"), (None, "unknown"), (float("nan"), "unknown"),
    ],
)  # fmt: skip
def test_amounts_are_short(number: float | None, said: str) -> None:
    assert svg.amount(number).replace(svg.NBSP, " ") == said


def test_ticks_and_shares_are_plain() -> None:
    assert [svg.tick(mark).replace(svg.NBSP, " ") for mark in (0, 0.25, 0.5, 5, 10, 100, 2.5e7)] == [
        "0", "0.25", "0.5", "5", "10", "100", "25 M"
    ]  # fmt: skip
    assert svg.percent(0.0001, signed=True).replace(svg.NBSP, " ") == "0 %"
    assert svg.percent(-0.0001).replace(svg.NBSP, " ") == "0 %"
    assert svg.percent(-0.171, signed=True).replace(svg.NBSP, " ") == "-17 %"
    assert svg.ticks(0, 10.3) == pytest.approx([0, 5, 10])


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_and_shapes_have_aa_contrast_in_light_dark_and_print() -> None:
    blocks = re.findall(r":root\{([^}]*)\}", STYLE)
    assert len(blocks) == 3
    colours: dict[str, str] = {}
    for block in blocks:
        colours |= dict(re.findall(r"--(\w+):(#[0-9a-f]+)", block.replace("\n", "")))
        for ground in ("ground", "card"):
            for words in ("ink", "soft", "link"):
                assert _contrast(colours[words], colours[ground]) >= 4.5, (words, ground)
            for fill in (*svg.SERIES, svg.REST, svg.BASE):
                assert _contrast(fill, colours[ground]) >= 3.0, (fill, ground, colours[ground])
        for tone in ("good", "bad", "warn", "none"):
            assert _contrast(colours[tone], colours[f"{tone}bg"]) >= 4.5, tone
            assert _contrast(colours["ink"], colours[f"{tone}bg"]) >= 4.5
    # What the chart's own rules paint text with is one of these.
    assert set(re.findall(r"text\{fill:var\(--(\w+)\)", svg.STYLE)) == {"soft", "ink"}
