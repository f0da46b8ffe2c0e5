"""What a model's report says in words. A sentence claims no more than the publish gate lets the model claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from liftos_pipelines.modules.causal.report.measures import Measures
from liftos_pipelines.modules.causal.report.svg import amount, percent
from liftos_pipelines.tables import ALL

NOT_PUBLISHED = "NOT PUBLISHED"
MARKS = {"pass": "✓ pass", "warn": "! warning", "fail": "✗ fail", "unknown": "? unknown"}
TONES = {"pass": "good", "warn": "warn", "fail": "bad", "unknown": "none"}
ORDER = {"fail": 0, "warn": 1, "unknown": 2, "pass": 3}
SURE = 0.95


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`tone` good only when every check that there is passed; `sound` when no check failed and some were made."""

    word: str
    tone: str
    lead: str
    detail: str
    sound: bool


def verdict(checks: pl.DataFrame, serves: bool, why: str, remembered: str = "") -> Verdict:
    """The report's first words.

    Parameters
    ----------
    checks : the table `causal/validation` of this model, empty where it was never checked
    serves : whether answers are given from this model
    why : why this or another model serves, in words of `causal/champion`
    remembered : what the registry says of its gate (`passed`, or `failed: ...`), used where the checks are gone
    """
    names = {status: checks.filter(pl.col("status") == status)["check"].to_list() for status in ORDER}
    tail = f" Why this model {'serves' if serves else 'does not serve'}: {why}." if why else ""
    made = checks.height - len(names["unknown"])
    blind = f" {_count(len(names['unknown']), 'check')} could not be made." if names["unknown"] else ""
    if not made:
        return _unchecked(serves, remembered, tail)
    if names["fail"]:
        failed = f"{_count(len(names['fail']), 'check')} failed ({_list([_words(n) for n in names['fail']])})"
        lead = f"Served by hand although {failed}." if serves else f"{NOT_PUBLISHED}: {failed}."
        detail = (
            "Do not act on the figures below: they are shown so that one can find out what is wrong."
            f"{_warned(names['warn'])}{blind}{tail}"
        )
        return Verdict(word="✗ failed", tone="bad", lead=lead, detail=detail, sound=False)
    place = "Published" if serves else "Passed the publish gate, but does not serve"
    if names["warn"]:
        joint = ", with" if serves else ";"
        lead = f"{place}{joint} {_count(len(names['warn']), 'warning')}: {_list([_words(n) for n in names['warn']])}."
        detail = f"No check failed. Read the figures with the warnings in mind.{blind}{tail}"
        return Verdict(word="! with warnings", tone="warn", lead=lead, detail=detail, sound=True)
    if names["unknown"]:
        detail = f"{made} of {checks.height} checks were made and passed.{blind}{tail}"
        return Verdict(
            word="✓ passed where checked", tone="none", lead=f"{place}: every check that could be made passed.",
            detail=detail, sound=True,
        )  # fmt: skip
    detail = f"Passing says that nothing was found against it, not that it is right.{tail}"
    return Verdict(
        word="✓ passed", tone="good", lead=f"{place}: all {checks.height} checks passed.", detail=detail, sound=True
    )


def _unchecked(serves: bool, remembered: str, tail: str) -> Verdict:
    """Of a model whose checks are not at hand: what the registry remembers counts only for one that serves."""
    sound = serves and remembered == "passed"
    lead = f"{NOT_PUBLISHED}: this model was not checked."
    if sound:
        lead = "Published before: it passed the publish gate then; its checks are not at hand any more."
    elif serves:
        lead = "Serves unchecked: the checks of this model are not at hand."
    known = f"The registry says of it: {remembered}. " if remembered.startswith("failed") else ""
    detail = tail.strip() if sound else f"{known}Nothing vouches for it.{tail}"
    return Verdict(word="? not checked", tone="none", lead=lead, detail=detail, sound=sound)


def summary(said: Verdict, measures: Measures, results: pl.DataFrame, plan: pl.DataFrame, currency: str) -> str:
    """One paragraph: what media made, what channels return, what is not settled, what the plan would bring."""
    fit, whole = measures.fit, results.filter(pl.col("geo") == ALL)
    weeks = f"Over {fit.height} weeks ({fit['date'][0]} to {fit['date'][-1]})"
    model = "the model puts" if said.sound else "this model, which nothing vouches for, would put"
    mean, low, high = measures.media_share
    sentences = [
        f"{weeks} {model} {percent(mean)} of the outcome down to media "
        f"(90 % interval {percent(low)} to {percent(high)})."
    ]
    if not said.sound:
        sentences.append("If it held, the following would be so.")
    largest = whole.sort("contribution", descending=True).head(1)
    for row in largest.iter_rows(named=True):
        if whole.height > 1:
            share = percent(row["contribution_share"])
            tied = whole.filter(
                (pl.col("channel") != row["channel"]) & (pl.col("contribution_high") > row["contribution_low"])
            )["channel"].to_list()
            doubt = f", but the interval reaches that of {_list(tied)}" if tied else ""
            sentences.append(f"The largest part is that of {row['channel']} ({share}){doubt}.")
    sentences += _returns(measures, whole, currency)
    if said.sound:
        sentences += _planned(plan, currency)
    else:
        sentences.append("No budget plan is given from it.")
    return " ".join(sentences)


def _returns(measures: Measures, whole: pl.DataFrame, currency: str) -> list[str]:
    known = whole.drop_nulls("roi").sort("roi", descending=True)
    if known.is_empty():
        return ["Revenue is unknown, so no return on spend can be given; costs per outcome stand below."]
    out = []
    chances = dict(measures.chances.select("channel", "highest").iter_rows())
    best = known.row(0, named=True)
    band = f"{amount(best['roi'])} ({amount(best['roi_low'])} to {amount(best['roi_high'])})"
    words = f"Each {currency} spent on {best['channel']} has returned {band} of revenue"
    if known.height > 1:
        chance = chances.get(best["channel"])
        if chance is not None and chance >= SURE:
            words += f", the highest of all with probability {percent(chance)}"
        elif chance is not None:
            words += f"; it is the highest with a probability of only {percent(chance)}, so the order is not settled"
    out.append(words + ".")
    above = known.filter(pl.col("roi_low") > 1)["channel"].to_list()
    below = known.filter(pl.col("roi_high") < 1)["channel"].to_list()
    between = known.filter((pl.col("roi_low") <= 1) & (pl.col("roi_high") >= 1))["channel"].to_list()
    parts = [
        f"{_list(names)} {text}"
        for names, text in (
            (above, "returned more revenue than was spent"),
            (below, "returned less revenue than was spent"),
            (between, "may have returned more or less than was spent"),
        )
        if names
    ]
    out.append(f"By their 90 % intervals, {'; '.join(parts)} (margins are not in it).")
    return out


def _planned(plan: pl.DataFrame, currency: str) -> list[str]:
    total = plan.filter(pl.col("channel") == ALL)
    if total.is_empty():
        return []
    row = total.row(0, named=True)
    weeks = f"the newest {row['weeks']} weeks" if "weeks" in plan.columns else "the plan's weeks"
    unit = _unit(plan, currency)
    band = f"{amount(row['uplift'])} {unit} ({amount(row['uplift_low'])} to {amount(row['uplift_high'])})"
    if abs(row["uplift"]) <= 1e-6 * abs(row["response_current"] or 1.0):
        return [f"For {weeks} no better plan than the current one was found within its bounds."]
    same = abs(row["spend_planned"] - row["spend_current"]) <= 1e-6 * row["spend_current"]
    spent = "The same budget, spread as planned below," if same else "The budget planned below"
    doubt = (
        " The interval reaches from a loss to a gain, so neither is settled."
        if row["uplift_low"] <= 0 <= row["uplift_high"]
        else ""
    )
    return [f"{spent} would have brought {band} more in {weeks}, all else as it was.{doubt}"]


def _unit(plan: pl.DataFrame, currency: str) -> str:
    unit = plan["unit"][0] if "unit" in plan.columns and plan.height else "revenue"
    return f"{currency} of revenue" if unit == "revenue" else "of outcome"


def _warned(names: Sequence[str]) -> str:
    return f" {_count(len(names), 'warning')} beside: {_list([_words(n) for n in names])}." if names else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def limits_of(form: str, experiments: Sequence[str]) -> list[str]:
    """What the model takes for granted and cannot say; fixed but for what it was given."""
    adds = (
        "Effects of channels are percentages of what there is without them; parts therefore do not simply add up."
        if form == "multiplicative"
        else "Effects of channels add up: one channel does not make another stronger or weaker."
    )
    checked = (
        f"Beside the weekly data it has seen {_count(len(experiments), 'lift test')}; "
        "channels without one rest on how spend and outcome moved together."
        if experiments
        else "No lift test entered: effects rest on how spend and outcome moved together, which proves no cause."
    )
    return [
        "Given the controls, the trend and the season, spend is as good as chance. Demand that moved spend and outcome "
        "alike and is not among the controls is counted as effect. Checks can contradict this, none can prove it.",
        checked,
        adds,
        "A channel's curve and carry-over are the same in all weeks: a creative that wears out, or a channel that has "
        "changed, shows as an average.",
        "Carry-over ends after the longest lag. What media do beyond it (brand, habit) stands in the baseline.",
        "Intervals are what is uncertain if the model's form is right; a wrong form is not in them.",
        "Where spend was never seen, curves follow the prior and the assumed shape. They are greyed there.",
        "Returns are revenue over spend: no margin, no cost of goods, no customer lifetime.",
        "The plan redoes past weeks. It says what would have been, not what will be: prices, rivals and demand "
        "go their own way.",
    ]
