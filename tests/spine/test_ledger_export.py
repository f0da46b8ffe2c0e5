"""Exports that verify alone and show every change; retirement that keeps the rest and the archive provable; new keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liftos_pipelines.clients import ClientError, load_client
from liftos_pipelines.modules.agentic.ledger_state import LedgerState
from liftos_pipelines.spine import ledger_store
from liftos_pipelines.spine.connection import SpineError
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.keys import KeyProblem, KeyRing
from liftos_pipelines.spine.ledger_audit import LedgerAudit
from liftos_pipelines.spine.ledger_export import Chosen, ExportBroken, audit_export, read_export, write_export
from liftos_pipelines.spine.ledger_keys import hand_over
from liftos_pipelines.spine.ledger_retire import RetentionTooShort, Retirement, retention_of, retire
from liftos_pipelines.spine.sealing import Seal

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def sealed(spine: Spine, tmp_path: Path) -> Spine:
    spine.seal = Seal(KeyRing(tmp_path / "keys"), (str(tmp_path / "witness"),))
    return spine


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The moment at which entries are recorded; `clock.at = ...` moves it."""

    class Clock:
        at = NOW

        def now(self, _: object) -> datetime:
            return self.at

    made = Clock()
    monkeypatch.setattr(ledger_store, "datetime", made)
    return made


def fill(spine: Spine, entries: int = 7, start: int = 0) -> None:
    for number in range(start, start + entries):
        kind = ("agent_decision", "agent_action", "approval_given")[number % 3]
        body = {"number": number, "agent_id": f"agent{number % 2}"}
        spine.append_ledger("acme", kind, "x", body, idempotency_key=str(number))


def export(spine: Spine, file: Path, **options: Any) -> Path:
    keys = spine.required_seal().ring.public_keys()
    with file.open("w") as stream:
        write_export(
            stream, "acme", spine.ledger("acme"), spine.checkpoints("acme"), stub=spine.stub("acme"), keys=keys, now=NOW,
            **options,
        )  # fmt: skip
    return file


def verify(file: Path, **options: Any) -> LedgerAudit:
    return audit_export(read_export(file, "acme"), **options)


def test_a_whole_export_verifies_alone_and_every_changed_value_of_it_is_found(sealed: Spine, tmp_path: Path) -> None:
    fill(sealed)
    file = export(sealed, tmp_path / "ledger.jsonl")
    trusted = sealed.required_seal().ring.public_keys()
    found = verify(file, trusted=trusted)
    assert (found.verified, found.signed, found.entries, found.last_good_position) == (True, True, 7, 6)
    lines = file.read_text().splitlines()
    tried = 0
    for place, line in enumerate(lines):
        said = json.loads(line)
        if said["type"] not in ("entry", "checkpoint"):
            continue
        for name in said.keys() - {"type"}:
            value = said[name]
            changed = said | {name: value + 1 if isinstance(value, int) else f"{value}"[:-1] + "~"}
            file.write_text("\n".join([*lines[:place], json.dumps(changed), *lines[place + 1 :]]) + "\n")
            assert not verify(file, trusted=trusted).verified, (said["type"], name)
            tried += 1
    assert tried == 7 * 10 + 7 * 8
    # Entries out of order, twice, and gone.
    first = next(place for place, line in enumerate(lines) if '"type":"entry"' in line)
    swapped = [*lines[:first], lines[first + 1], lines[first], *lines[first + 2 :]]
    for altered in (swapped, [*lines[:first], lines[first], lines[first], *lines[first + 2 :]]):
        file.write_text("\n".join(altered) + "\n")
        assert not verify(file, trusted=trusted).verified


def test_a_cut_or_half_written_export_and_one_of_another_client_are_named(sealed: Spine, tmp_path: Path) -> None:
    fill(sealed)
    file = export(sealed, tmp_path / "ledger.jsonl")
    content = file.read_text()
    with pytest.raises(ExportBroken, match="not of globex"):
        read_export(file, "globex")
    lines = content.splitlines()
    file.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(ExportBroken, match="was cut"):
        read_export(file, "acme")
    file.write_text(content[: len(content) // 2])
    with pytest.raises(ExportBroken, match="half-written"):
        read_export(file, "acme")
    file.write_text("\n".join([*lines[:3], *lines[4:]]) + "\n")
    with pytest.raises(ExportBroken, match="lines were written"):
        read_export(file, "acme")
    # The tail cut and the end put right: the checkpoints that are still there show it, else those of a witness.
    cut = [line for line in lines[:-1] if '"position":6' not in line]
    file.write_text("\n".join([*cut, json.dumps({"type": "end", "lines": len(cut)})]) + "\n")
    assert "tail was cut" in verify(file).reason
    cut = [line for line in cut if '"size":7' not in line]
    file.write_text("\n".join([*cut, json.dumps({"type": "end", "lines": len(cut)})]) + "\n")
    assert verify(file).verified
    assert "tail was cut" in verify(file, witnessed=sealed.checkpoints("acme")).reason


def test_a_checkpoint_of_an_unknown_key_does_not_count(sealed: Spine, tmp_path: Path) -> None:
    fill(sealed, 2)
    file = export(sealed, tmp_path / "ledger.jsonl")
    stranger = KeyRing(tmp_path / "others").create()
    found = verify(file, trusted={stranger.key_id: stranger.public})
    assert (found.verified, found.signed) == (False, False)
    assert "not known" in found.reason


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Chosen(kinds=("agent_action",)), [1, 4]),
        (Chosen(agents=("agent1",)), [1, 3, 5]),
        (Chosen(positions=(6,)), [6]),
        (Chosen(since=NOW + timedelta(days=400)), []),
    ],
)
def test_a_part_of_a_ledger_verifies_by_inclusion_proofs(
    sealed: Spine, tmp_path: Path, chosen: Chosen, expected: list[int]
) -> None:
    fill(sealed)
    file = export(sealed, tmp_path / "part.jsonl", chosen=chosen)
    held = read_export(file, "acme")
    trusted = sealed.required_seal().ring.public_keys()
    assert [entry.position for entry in held.entries] == expected
    assert audit_export(held, trusted=trusted).verified
    assert not audit_export(held, trusted={}).verified
    lines = file.read_text().splitlines()
    for place, line in enumerate(lines):
        said = json.loads(line)
        for name in ("body", "actor", "recorded_at", "proof", "previous_hash") if said["type"] == "entry" else ():
            wrong = said["proof"][1:] if name == "proof" else said[name] + " "
            file.write_text("\n".join([*lines[:place], json.dumps(said | {name: wrong}), *lines[place + 1 :]]) + "\n")
            assert not verify(file, trusted=trusted).verified, name


def test_a_ledger_proves_that_it_continues_a_checkpoint_and_a_rewritten_one_does_not(
    sealed: Spine, tmp_path: Path
) -> None:
    fill(sealed, 4)
    earlier = sealed.checkpoints("acme")[-1]
    fill(sealed, 3, start=4)
    file = export(sealed, tmp_path / "proof.jsonl", since=earlier)
    assert verify(file).verified
    wrong = file.read_text().replace(f'"root":"{earlier.root}"', f'"root":"{"0" * 64}"')
    (tmp_path / "wrong.jsonl").write_text(wrong)
    assert not verify(tmp_path / "wrong.jsonl").verified


def _retire(spine: Spine, folder: Path, before: datetime, days: int = 183) -> Retirement | None:
    return retire(spine, "acme", before=before, retention_days=days, folder=folder, now=NOW)


def test_retiring_archives_what_is_old_and_verification_goes_on_over_the_cut(
    sealed: Spine, clock: Any, tmp_path: Path
) -> None:
    clock.at = NOW - timedelta(days=400)
    fill(sealed, 5)
    sealed.append_ledger(
        "acme",
        "agent_stopped",
        "a",
        {"agent_id": "a", "event_id": "e1", "reason": "r", "until": None},
        idempotency_key="s1",
    )
    stop = {"agent_id": "b", "event_id": "e2", "reason": "r", "until": None}
    sealed.append_ledger("acme", "agent_stopped", "b", stop, idempotency_key="s2")
    resumed = {"agent_id": "b", "by": "eve", "reason": "fine", "stops": ["e2"]}
    sealed.append_ledger("acme", "agent_resumed", "eve", resumed, idempotency_key="r2")
    clock.at = NOW
    fill(sealed, 3, start=5)
    for too_late in (NOW - timedelta(days=182), NOW):
        with pytest.raises(RetentionTooShort, match="may be retired"):
            _retire(sealed, tmp_path, too_late)
    with pytest.raises(RetentionTooShort, match="at least 183"):
        _retire(sealed, tmp_path, NOW - timedelta(days=300), days=30)
    before = NOW - timedelta(days=200)
    done = _retire(sealed, tmp_path / "archive", before)
    assert done is not None
    assert (done.size, done.removed, done.carried) == (8, 8, 1)
    left = sealed.ledger("acme")
    assert [entry.kind for entry in left][-2:] == ["agent_stopped", "ledger_retired"]
    assert left[0].position == 8
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.signed, found.entries, found.retired) == (True, True, 13, 8)
    # A stop that nobody lifted stands on; one that was lifted does not.
    state = LedgerState()
    for entry in left:
        if entry.kind == "agent_stopped":
            state.fold(entry.position, entry.kind, entry.content, datetime.fromisoformat(entry.recorded_at))
    assert list(state.stopped(NOW + timedelta(days=1))) == ["a"]
    # The archive verifies alone; what is left is exported and verified over the cut, also in parts.
    archived = verify(done.archive, trusted=sealed.required_seal().ring.public_keys())
    assert (archived.verified, archived.entries, archived.signed) == (True, 8, True)
    assert verify(export(sealed, tmp_path / "rest.jsonl")).verified
    assert verify(export(sealed, tmp_path / "part.jsonl", chosen=Chosen(positions=(9,)))).verified
    assert _retire(sealed, tmp_path / "archive", before) is None
    # Again, later: the second archive begins at the first stub.
    fill(sealed, 2, start=20)
    again = retire(
        sealed, "acme", before=NOW + timedelta(hours=1), retention_days=183, folder=tmp_path / "archive",
        now=NOW + timedelta(days=200),
    )  # fmt: skip
    assert again is not None
    assert again.removed == 7
    assert verify(again.archive).verified
    assert sealed.verify_ledger("acme").verified


def test_a_changed_stub_or_one_more_entry_gone_is_found(
    sealed: Spine, clock: Any, tmp_path: Path, unguarded: Any
) -> None:
    clock.at = NOW - timedelta(days=400)
    fill(sealed, 5)
    clock.at = NOW
    fill(sealed, 3, start=5)
    assert _retire(sealed, tmp_path, NOW - timedelta(days=200)) is not None
    for name in ("root", "head_hash", "peaks", "before", "archive_sha256", "signed_at", "key_id", "signature"):
        with unguarded(sealed) as connection:
            (value,) = connection.exec_driver_sql(f"SELECT {name} FROM ledger_stubs").one()
            connection.exec_driver_sql(f"UPDATE ledger_stubs SET {name} = '{'0' * len(value)}'")
        assert not sealed.verify_ledger("acme").verified, name
        with unguarded(sealed) as connection:
            connection.exec_driver_sql(f"UPDATE ledger_stubs SET {name} = '{value}'")
    assert sealed.verify_ledger("acme").verified
    with unguarded(sealed) as connection:
        connection.exec_driver_sql("DELETE FROM ledger WHERE position = 5")
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.first_bad_entry) == (False, 5)


def test_a_ledger_that_does_not_verify_is_not_retired(
    sealed: Spine, clock: Any, tmp_path: Path, unguarded: Any
) -> None:
    clock.at = NOW - timedelta(days=400)
    fill(sealed, 5)
    with unguarded(sealed) as connection:
        connection.exec_driver_sql("UPDATE ledger SET actor = 'y' WHERE position = 2")
    with pytest.raises(SpineError, match="nothing is retired"):
        _retire(sealed, tmp_path, NOW - timedelta(days=200))
    assert len(sealed.ledger("acme")) == 5


def test_a_retention_below_six_months_is_a_named_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "clients" / "acme"
    folder.mkdir()
    (folder / "client.yaml").write_text("client: acme\nledger: {retention_days: 400}\n")
    assert retention_of(load_client("acme")) == 400
    for said in ("90", "half a year"):
        monkeypatch.setenv("LIFTOS_LEDGER_RETENTION_DAYS", said)
        with pytest.raises(RetentionTooShort, match="LIFTOS_LEDGER_RETENTION_DAYS"):
            retention_of(load_client("acme"))
    (folder / "client.yaml").write_text("client: acme\nledger: {retention_days: 90}  # too few\n")
    with pytest.raises(ClientError, match=r"retention_days.*183"):
        load_client("acme")


def test_an_old_key_hands_over_to_a_new_one_and_signs_no_more(sealed: Spine, tmp_path: Path) -> None:
    fill(sealed, 3)
    ring = KeyRing(tmp_path / "keys")
    old = ring.current()
    new = ring.create()
    assert hand_over(sealed, new, by="eve", reason="yearly") == ["acme"]
    fill(sealed, 2, start=3)
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.signed, found.key_id) == (True, True, new.key_id)
    # Who trusts the old key alone trusts the new one by its endorsement.
    file = export(sealed, tmp_path / "ledger.jsonl")
    assert verify(file, trusted={old.key_id: old.public}).signed
    assert not verify(file, trusted={}).verified
    # A lost key endorses nothing: the new one must be known by another way.
    (tmp_path / "keys" / f"{new.key_id}.pem").unlink()
    third = ring.create()
    with pytest.raises(KeyProblem, match="not there"):
        hand_over(sealed, third, by="eve", reason="yearly")
    hand_over(sealed, third, by="eve", reason="disk lost", lost=True)
    assert sealed.verify_ledger("acme").signed
    assert "not known" in verify(export(sealed, file), trusted={old.key_id: old.public}).reason
    assert verify(file, trusted={old.key_id: old.public, third.key_id: third.public}).signed
