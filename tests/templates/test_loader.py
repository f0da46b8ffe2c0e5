"""Industry templates: packaged ones are sound, clients override them, and errors name file and field."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from liftos_pipelines.modules.causal.spec import ROI_PRIOR, ModelSpec, SpecError
from liftos_pipelines.modules.surfacing import DIMENSIONS, METRICS
from liftos_pipelines.templates.loader import (
    TemplateError,
    describe,
    load_template,
    prompt_panel,
    template_names,
    with_template,
)


def override(folder: Path, text: str) -> Path:
    (folder / "template.yaml").write_text(text, encoding="utf-8")
    return folder


def test_the_five_industries_and_the_base_are_packaged() -> None:
    assert template_names() == ["base", "finance", "health", "retail", "saas", "travel"]


@pytest.mark.parametrize("name", template_names())
def test_a_packaged_template_is_sound(name: str) -> None:
    template = load_template(name)
    assert template.name == name
    assert sum(template.audit_weights.values()) == pytest.approx(1, abs=1e-9)
    assert set(template.audit_weights) == set(DIMENSIONS)
    assert set(template.metrics) <= set(METRICS)
    assert {prompt.intent for prompt in template.prompts} == {"discovery", "comparison", "problem", "trend", "trust"}
    assert {prompt.stage for prompt in template.prompts} == {"awareness", "consideration", "decision", "retention"}
    assert {prompt.branded for prompt in template.prompts} == {True, False}


def test_a_child_inherits_what_it_does_not_say_and_merges_prompts_by_id() -> None:
    base, retail = load_template(), load_template("retail")
    assert retail.targets == base.targets
    assert {prompt.id for prompt in base.prompts} < {prompt.id for prompt in retail.prompts}
    assert retail.vocabulary.categories != base.vocabulary.categories
    assert load_template("finance").targets.hallucinated_citations == 0.01
    assert load_template("finance").targets.interval_width == base.targets.interval_width


def test_a_client_overrides_its_industry(tmp_path: Path) -> None:
    folder = override(
        tmp_path,
        "vocabulary: {categories: [rain jackets]}\n"
        "targets: {interval_width: 0.1}\n"
        "prompts:\n  - {id: gift, drop: true}\n  - {id: versus, text: '{brand} against {competitor}?', intent: comparison, stage: decision}\n"
        "slos: {surfacing: {mention_rate_half_width: {threshold: 0.05}}}\n",
    )
    own, retail = load_template("retail", folder), load_template("retail")
    assert own.vocabulary.categories == ["rain jackets"]
    assert own.vocabulary.attributes == retail.vocabulary.attributes
    assert own.targets.interval_width == 0.1
    assert own.targets.audit_coverage == retail.targets.audit_coverage
    assert "gift" not in {prompt.id for prompt in own.prompts}
    assert next(prompt for prompt in own.prompts if prompt.id == "versus").text == "{brand} against {competitor}?"
    assert own.slos["surfacing"]["mention_rate_half_width"]["threshold"] == 0.05
    assert load_template("retail", tmp_path / "none") == retail


def test_topics_are_inherited_by_language_and_dropped_by_null(tmp_path: Path) -> None:
    own = load_template(
        "retail", override(tmp_path, "topics: {stock: null, price: {en: [dear]}, fit: [size, sizing]}\n")
    )
    retail = load_template("retail")
    assert set(own.topics) == set(retail.topics) - {"stock"} | {"fit"}
    price = set(own.topics["price"])
    assert {"dear", "prix"} <= price
    assert "cheap" not in price
    assert own.topics["fit"] == ("size", "sizing")


@pytest.mark.parametrize("name", ["retail", "saas", "finance", "health", "travel"])
def test_an_industry_has_topics_in_eight_languages(name: str) -> None:
    topics = load_template(name).topics
    assert 6 <= len(topics) <= 11
    assert all(len(keywords) >= 25 for keywords in topics.values())


@pytest.mark.parametrize("name", ["retail", "saas", "finance", "health", "travel"])
def test_an_industry_asks_over_the_whole_funnel(name: str) -> None:
    prompts = load_template(name).prompts
    assert len(prompts) >= 20
    stages = Counter(prompt.stage for prompt in prompts)
    assert min(stages.values()) >= 3
    assert set(stages) == {"awareness", "consideration", "decision", "retention"}
    assert 5 <= sum(prompt.branded for prompt in prompts) <= len(prompts) - 5
    panel = prompt_panel(load_template(name), brand="Acme", competitors=["Globex"])
    assert len({row["prompt"] for row in panel}) == len(panel) > 40


def test_a_template_describes_itself() -> None:
    text = describe(load_template("health"))
    for word in (
        "health (version",
        "markets",
        "awareness",
        "waiting",
        "structured_data",
        "interval_width",
        "appointments",
    ):
        assert word in text


def test_a_client_may_extend_another_template_than_its_industry(tmp_path: Path) -> None:
    own = load_template("retail", override(tmp_path, "extends: saas\n"))
    assert own.vocabulary == load_template("saas").vocabulary


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audit_weights: {access: 0.5}\n", "audit_weights: weights must sum to 1"),
        ("audit_weights: {access: 1.5, freshness: -0.5}\n", "a weight cannot be negative"),
        ("vocabulry: {}\n", 'closest: "vocabulary"'),
        ("targets: {interval_width: 2}\n", "targets.interval_width"),
        ("prompts: [{id: x, text: 'Is {brnd} good?', intent: trust, stage: decision}]\n", "unknown placeholder"),
        ("prompts: [{id: x, text: 'Is it good?', intent: mood, stage: decision}]\n", "intent"),
        ("prompts: [{text: 'Is it good?', intent: trust, stage: decision}]\n", "id: this field is required"),
        ("topics: {price: {xx: [cheap]}}\n", "topics: price: unknown language(s) xx"),
        ("topics: {price: {en: cheap}}\n", "topics: price: each language holds a list"),
        ("topics: {cost: [price]}\n", 'keyword "price" of cost is also "price" of price'),
        ("topics: {cost: [PRIX]}\n", 'keyword "PRIX" of cost is also "prix" of price'),
        ("topics: {cost: []}\n", "topics: cost: needs a keyword"),
        ("topics: {cost: ['?']}\n", 'keyword "?" holds no word'),
        ("topics: {Cost!: [moneyed]}\n", "a topic is named in small letters"),
        ("extends: retial\n", 'closest: "retail"'),
        ("- a\n", "expected fields"),
        ("a: [\n", "not readable as YAML"),
    ],
)
def test_an_error_names_the_file_the_field_and_the_fix(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=r"template\.yaml") as raised:
        load_template("retail", override(tmp_path, text))
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["retial", "../base", "/etc/passwd", "loader"])
def test_an_unknown_industry_is_refused_by_name(name: str) -> None:
    with pytest.raises(TemplateError, match="there is no template"):
        load_template(name)


def test_the_panel_fills_every_prompt_with_stable_ids() -> None:
    template = load_template("saas")
    panel = prompt_panel(template, brand="Acme", competitors=["Globex", "Initech"])
    ids = [row["prompt_id"] for row in panel]
    assert len(ids) == len(set(ids))
    assert not any("{" in row["prompt"] for row in panel)
    assert sum(row["prompt_id"].startswith("versus-") for row in panel) == 2
    assert panel == prompt_panel(template, brand="Acme", competitors=["Globex", "Initech"])
    assert {row["branded"] for row in panel if "Acme" in row["prompt"]} == {"true"}
    assert not any(
        row["prompt_id"].startswith("versus-") for row in prompt_panel(template, brand="Acme", competitors=[])
    )


@pytest.mark.parametrize("name", template_names())
def test_a_packaged_template_gives_a_model(name: str) -> None:
    spec = ModelSpec.from_config(with_template(load_template(name), {}))
    assert spec.roi_prior == ROI_PRIOR
    of_a_client = (spec.channels, spec.roi_priors, spec.roles, spec.holidays)
    assert not any(of_a_client), "a template cannot know these"


def test_what_the_client_says_of_its_model_replaces_the_template_field_by_field() -> None:
    travel = load_template("travel")
    spec = ModelSpec.from_config(with_template(travel, {"seasonality": 2, "roi_prior": {"median": 2, "sigma": 0.4}}))
    assert (spec.seasonality, spec.max_lag, spec.roi_prior.median) == (2, 13, 2)
    with pytest.raises(SpecError, match=r"roi_prior\.sigma"):
        ModelSpec.from_config(with_template(travel, {"roi_prior": {"median": 2}}))


def test_a_clients_own_template_replaces_a_prior_whole(tmp_path: Path) -> None:
    own = load_template("retail", override(tmp_path, "causal: {roi_prior: {median: 3, sigma: 0.5}}\n"))
    assert own.causal == {"roi_prior": {"median": 3, "sigma": 0.5}, "holidays_each": True}
