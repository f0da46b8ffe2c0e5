"""What was scored is kept while text and reader are the same, and scored anew when either changes."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.modules.sentiment.reading.incremental import SCORED_WITH, fingerprint, split, with_text_id

SCHEMA = {"mention_id": pl.String, "text": pl.String, "language": pl.String}


def mentions(*rows: tuple[str, str | None, str | None]) -> pl.DataFrame:
    return with_text_id(pl.DataFrame(rows, schema=SCHEMA, orient="row"))


def scores(of: pl.DataFrame, reader: str = "r1") -> pl.DataFrame:
    return of.select("mention_id", "text_id", pl.lit(reader).alias(SCORED_WITH), pl.lit(0.5).alias("p_positive"))


BEFORE = mentions(("a", "good", None), ("b", "bad", "en"), ("c", None, None))


def test_only_new_and_changed_mentions_are_scored() -> None:
    now = mentions(("a", "good", None), ("b", "bad, very bad", "en"), ("c", None, None), ("d", "new", None))
    kept, fresh = split(now, scores(BEFORE), "r1")
    assert sorted(kept["mention_id"]) == ["a", "c"]
    assert sorted(fresh["mention_id"]) == ["b", "d"]


def test_another_language_given_by_the_client_is_another_text() -> None:
    _, fresh = split(mentions(("b", "bad", "de")), scores(BEFORE), "r1")
    assert fresh["mention_id"].to_list() == ["b"]


def test_another_reader_scores_everything_again() -> None:
    kept, fresh = split(BEFORE, scores(BEFORE), "r2")
    assert kept.is_empty()
    assert fresh.height == 3


def test_scores_of_an_earlier_release_are_not_trusted() -> None:
    kept, fresh = split(BEFORE, scores(BEFORE).drop("text_id"), "r1")
    assert kept.is_empty()
    assert fresh.height == 3


def test_withdrawn_mentions_leave() -> None:
    kept, fresh = split(BEFORE.head(1), scores(BEFORE), "r1")
    assert kept["mention_id"].to_list() == ["a"]
    assert fresh.is_empty()


def test_the_fingerprint_follows_every_part() -> None:
    base = fingerprint(["model", ["Acme"], {"price": ["cost"]}])
    assert base == fingerprint(["model", ["Acme"], {"price": ["cost"]}])
    assert len({base, fingerprint(["model2", ["Acme"], {}]), fingerprint(["model", ["Acme", "Globex"], {}])}) == 3


def test_broken_unicode_has_an_identity_too() -> None:
    assert with_text_id(pl.DataFrame([("x", "ok", None)], schema=SCHEMA, orient="row"))["text_id"][0]
    assert fingerprint(["\ud800"])
