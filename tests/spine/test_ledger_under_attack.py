"""What somebody hands to the verification who wants it to crash, or to say more than it proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Connection

from liftos_pipelines.spine import witness
from liftos_pipelines.spine.checkpoints import KEY_ENDORSED, Stub, told
from liftos_pipelines.spine.connection import SpineError
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.keys import KeyRing
from liftos_pipelines.spine.ledger import canonical_json, entry_hash
from liftos_pipelines.spine.ledger_audit import LedgerAudit, audit
from liftos_pipelines.spine.ledger_export import Chosen, audit_export, read_export, write_export
from liftos_pipelines.spine.sealing import Seal

Unguarded = Callable[[Spine], AbstractContextManager[Connection]]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
FORGED = Stub(
    client="acme", size=2, root="x", head_hash="y", peaks=("aa",), before="b", archive_sha256="c", signed_at="d",
    key_id="k", signature="s",
)  # fmt: skip


@pytest.fixture
def sealed(spine: Spine, tmp_path: Path) -> Spine:
    spine.seal = Seal(KeyRing(tmp_path / "keys"), (str(tmp_path / "witness"),))
    for number in range(3):
        kind = ("agent_decision", "agent_action")[number % 2]
        spine.append_ledger("acme", kind, "x", {"number": number}, idempotency_key=str(number))
    return spine


def exported(spine: Spine, file: Path, chosen: Chosen | None = None) -> list[dict[str, Any]]:
    keys = spine.required_seal().ring.public_keys()
    with file.open("w") as stream:
        write_export(
            stream, "acme", spine.ledger("acme"), spine.checkpoints("acme"), stub=None, keys=keys, now=NOW,
            chosen=chosen,
        )  # fmt: skip
    return [json.loads(line) for line in file.read_text().splitlines()]


def verified(spine: Spine, file: Path, lines: list[dict[str, Any]] | list[str]) -> LedgerAudit:
    said = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(said) + "\n")
    return audit_export(read_export(file, "acme"), trusted=spine.required_seal().ring.public_keys())


def with_line(lines: list[dict[str, Any]], place: int, line: dict[str, Any]) -> list[dict[str, Any]]:
    return [*lines[:place], line, *lines[place:-1], lines[-1] | {"lines": len(lines)}]


def test_what_is_added_to_a_proven_line_is_found(sealed: Spine, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    lines = exported(sealed, file)
    assert verified(sealed, file, lines).verified
    for place, line in enumerate(lines):
        with pytest.raises(SpineError, match="verdict does not belong there"):
            verified(sealed, file, [*lines[:place], line | {"verdict": "approved"}, *lines[place + 1 :]])
    spelled = [json.dumps(line) for line in lines]
    for forged in ('{"kind":"approval_given",' + spelled[3][1:], spelled[3][:-1] + ',"kind":"agent_action"}'):
        with pytest.raises(SpineError, match="line 4"):
            verified(sealed, file, [*spelled[:3], forged, *spelled[4:]])


def test_no_line_of_another_form_makes_the_verification_raise_anything_but_its_own(
    sealed: Spine, tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    others: list[Any] = [None, "changed", -1, [None]]
    for chosen in (None, Chosen(kinds=("agent_decision",))):
        lines = exported(sealed, file, chosen)
        for place, line in enumerate(lines):
            for name in line.keys() - {"exported_at", "chosen"}:
                for value in others:
                    try:
                        holds = verified(
                            sealed, file, [*lines[:place], line | {name: value}, *lines[place + 1 :]]
                        ).verified
                    except SpineError:
                        continue
                    assert not holds, (line["type"], name, value)
    for broken in ("", "[" * 100_000, "\0", '{"type":"ledger"', "5"):
        with pytest.raises(SpineError):
            verified(sealed, file, [broken])


@pytest.mark.parametrize("size", [-1, 0, 2, 2**70])
def test_a_stub_that_nobody_signed_is_found_in_a_whole_export_and_in_a_part(
    sealed: Spine, tmp_path: Path, size: int
) -> None:
    file, line = tmp_path / "x.jsonl", {"type": "stub", **told(replace(FORGED, size=size))}
    for chosen in (None, Chosen(kinds=("agent_decision",))):
        lines = exported(sealed, file, chosen)
        assert not verified(sealed, file, with_line(lines, 2, line)).verified


@pytest.mark.parametrize("body", ["not json", "[1]", "5", "null", '{"key_id": 5, "public_key": [1]}'])
def test_a_hand_over_that_is_none_is_told_and_does_not_end_the_walk(sealed: Spine, body: str) -> None:
    entries = sealed.ledger("acme")
    last = replace(
        entries[-1], position=3, kind=KEY_ENDORSED, body=body, previous_hash=entries[-1].entry_hash, entry_hash=""
    )
    entries.append(replace(last, entry_hash=entry_hash(last)))
    ring = sealed.required_seal().ring
    found = audit("acme", entries, head=sealed.head("acme"), checkpoints=[], trusted=ring.public_keys())
    assert not found.verified


@pytest.mark.parametrize(
    ("table", "column"), [("ledger", "position"), ("ledger_checkpoints", "size"), ("ledger_heads", "entries")]
)
def test_a_word_in_a_column_of_numbers_is_a_finding(
    sealed: Spine, unguarded: Unguarded, table: str, column: str
) -> None:
    if sealed.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite keeps any value in any column")
    with unguarded(sealed) as connection:
        top = f"(SELECT max({column}) FROM {table} WHERE client = 'acme')"
        connection.execute(text(f"UPDATE {table} SET {column} = 'x' WHERE client = 'acme' AND {column} = {top}"))
    assert not sealed.verify_ledger("acme").verified


def test_a_nested_line_of_a_witness_is_named(sealed: Spine, tmp_path: Path) -> None:
    file = witness.witness_file(tmp_path / "witness", "acme")
    kept = file.read_text()
    file.write_text("[" * 100_000 + "\n" + kept)
    found = sealed.verify_ledger("acme")
    assert not found.verified
    assert "line 1" in found.reason


def test_a_body_that_no_reader_follows_is_refused_and_nothing_is_written(sealed: Spine) -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(3000):
        inner["a"] = {}
        inner = inner["a"]
    for body in (deep, {"a": "\ud800"}, {"a": float("nan")}):
        with pytest.raises(ValueError):
            sealed.append_ledger("acme", "agent_decision", "x", body, idempotency_key="bad")
    assert len(sealed.ledger("acme")) == 3
    assert canonical_json({"a": 10**400}) == '{"a":"1' + "0" * 400 + '"}'
