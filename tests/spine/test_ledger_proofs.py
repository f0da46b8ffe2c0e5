"""A ledger that shows every tampering, also by somebody who puts all hashes right; proofs that hold and only those."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from liftos_pipelines.spine import witness
from liftos_pipelines.spine.checkpoints import Checkpoint, told
from liftos_pipelines.spine.database import LedgerNote, Spine, SpineError
from liftos_pipelines.spine.keys import KeyProblem, KeyRing
from liftos_pipelines.spine.ledger import GENESIS, LedgerEntry, canonical, canonical_json, entry_hash, leaf_of
from liftos_pipelines.spine.merkle import EMPTY, Peaks, Tree, consistent, included, leaf_hash, node_hash
from liftos_pipelines.spine.sealing import NotVerified, Seal

Unguarded = Callable[[Spine], AbstractContextManager[Connection]]
KINDS = ("agent_decision", "approval_given", "agent_action", "agent_stopped", "outcome_measured", "policy_violation")


@pytest.fixture
def sealed(spine: Spine, tmp_path: Path) -> Spine:
    """A spine with keys and a witness outside the database."""
    spine.seal = Seal(KeyRing(tmp_path / "keys"), (str(tmp_path / "witness"),))
    return spine


def fill(spine: Spine, entries: int = 6, start: int = 0) -> None:
    for number in range(start, start + entries):
        kind = KINDS[number % len(KINDS)]
        spine.append_ledger("acme", kind, f"agent{number}", {"number": number}, idempotency_key=str(number))


# -- Merkle trees -----------------------------------------------------------------------------------------------------


def _root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(_root(leaves[:split]), _root(leaves[split:]))


def test_roots_and_proofs_are_those_of_the_rfc_for_every_size_and_no_other_leaf_is_proven() -> None:
    contents = [bytes([number]) for number in range(21)]
    leaves = [leaf_hash(each) for each in contents]
    tree, peaks = Tree(leaves), Peaks()
    assert Peaks().root() == EMPTY
    for size in range(1, 22):
        peaks.add(leaves[size - 1])
        root = _root(contents[:size])
        assert peaks.root() == tree.root(size) == root
        for position in range(size):
            path = tree.inclusion(position, size)
            assert included(leaves[position], position, size, path, root)
            assert not included(leaves[position - 1], position, size, path, root) or size == 1
            assert not included(leaves[position], position + 1, size, path, root)
            assert not included(leaves[position], position, size, [*path, root], root)
        for earlier in range(1, size + 1):
            proof, old = tree.consistency(earlier, size), tree.root(earlier)
            assert consistent(earlier, old, size, root, proof)
            assert not consistent(earlier, EMPTY, size, root, proof)
            assert not consistent(earlier, old, size, EMPTY, proof)
    # What RFC 6962's reference implementation gives for its own leaves.
    assert (
        _root([b"", b"\x00", b"\x10", b" !", b"01", b"@ABC"])
        == Tree(map(leaf_hash, [b"", b"\x00", b"\x10", b" !", b"01", b"@ABC"])).root()
    )


@pytest.mark.parametrize("retired", [1, 3, 4, 6, 7, 12])
def test_a_tree_goes_on_from_the_peaks_of_what_is_gone(retired: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(13)]
    before = Peaks()
    for leaf in leaves[:retired]:
        before.add(leaf)
    whole, rest = Tree(leaves), Tree(leaves[retired:], size=retired, peaks=before.peaks)
    assert rest.root() == whole.root()
    for position in range(retired, 13):
        assert rest.inclusion(position, 13) == whole.inclusion(position, 13)
    with pytest.raises(ValueError):
        rest.inclusion(retired - 1, 13)


# -- canonical JSON and hashes ----------------------------------------------------------------------------------------

characters = st.characters(exclude_categories=["Cs"])
words = st.text(characters, max_size=20)


@given(words, words, st.integers(0, 2**31), st.none() | words)
def test_an_entrys_hash_is_over_canonical_json_of_all_its_fields(
    one: str, two: str, where: int, own: str | None
) -> None:
    entry = LedgerEntry(
        client="acme", position=where, recorded_at="2026", kind=one, actor=two, idempotency_key=one + two, body=two,
        previous_hash=GENESIS, entry_hash=own or "", hash_version=2,
    )  # fmt: skip
    said = {field.name: getattr(entry, field.name) for field in fields(entry)}
    assert leaf_of(entry) == leaf_hash(rfc8785.dumps(said))
    del said["entry_hash"]
    assert entry_hash(entry) == hashlib.sha256(rfc8785.dumps(said)).hexdigest()
    checkpoint = Checkpoint(
        client=one, size=where, root=two, head_hash="", signed_at="", previous="", key_id="", signature=own or ""
    )
    assert checkpoint.identity == hashlib.sha256(rfc8785.dumps(told(checkpoint))).hexdigest()


def test_a_body_has_one_spelling_and_what_json_cannot_hold_is_refused() -> None:
    assert (
        canonical_json({"b": 1.0, "a": "é", "c": 2**60, "d": None})
        == '{"a":"é","b":1,"c":"1152921504606846976","d":null}'
    )
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            canonical_json({"x": number})
    with pytest.raises(ValueError):
        canonical_json({"x": "\ud800"})


def test_entries_of_the_old_format_verify_beside_new_ones(sealed: Spine, unguarded: Unguarded) -> None:
    body, previous = canonical({"effect": 1.0}), GENESIS
    rows = []
    for position in range(3):
        blank = LedgerEntry(
            client="acme", position=position, recorded_at="2025-01-01", kind="agent_decision", actor="a",
            idempotency_key=f"old{position}", body=body, previous_hash=previous, entry_hash="", hash_version=1,
        )  # fmt: skip
        rows.append(replace(blank, entry_hash=entry_hash(blank)))
        previous = rows[-1].entry_hash
    with unguarded(sealed) as connection:
        for row in rows:
            connection.execute(text(
                "INSERT INTO ledger (client, position, recorded_at, kind, actor, idempotency_key, body, previous_hash, entry_hash) "
                "VALUES (:client, :position, :recorded_at, :kind, :actor, :idempotency_key, :body, :previous_hash, :entry_hash)"
            ), vars(row))  # fmt: skip
        connection.execute(
            text("INSERT INTO ledger_heads (client, entries, head_hash) VALUES ('acme', 3, :h)"), {"h": previous}
        )
    # The same content under the same key is the same entry, though it is spelled otherwise now.
    assert sealed.append_ledger("acme", "agent_decision", "a", {"effect": 1.0}, idempotency_key="old2") == rows[2]
    fill(sealed, 2)
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.entries, found.signed) == (True, 5, False)
    # From the first checkpoint on, which verifies what is there, every batch is signed.
    assert sealed.checkpoint("acme").size == 5
    fill(sealed, 1, start=9)
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.signed, found.signed_entries) == (True, True, 6)


# -- tampering --------------------------------------------------------------------------------------------------------


def test_an_untouched_ledger_is_signed_to_its_last_entry(sealed: Spine) -> None:
    fill(sealed)
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.signed, found.entries, found.checkpoints) == (True, True, 6, 6)
    assert (found.last_good_position, found.witnessed, found.reason) == (5, 6, "")
    assert sealed.checkpoint("acme") == sealed.checkpoints("acme")[-1]


def _other(value: object) -> object:
    if isinstance(value, int):
        return value + 1
    return f"{value}"[:-1] + ("x" if str(value)[-1:] != "x" else "y")


FIELDS = [field.name for field in fields(LedgerEntry)]


def snapshot(spine: Spine) -> dict[str, list[dict[str, object]]]:
    with spine.engine.connect() as connection:
        return {
            name: [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {name}"))]
            for name in ("ledger", "ledger_heads", "ledger_checkpoints")
        }


def restore(connection: Connection, rows: dict[str, list[dict[str, object]]]) -> None:
    for name, held in rows.items():
        connection.execute(text(f"DELETE FROM {name}"))
        columns = ", ".join(held[0])
        values = ", ".join(f":{column}" for column in held[0])
        connection.execute(text(f"INSERT INTO {name} ({columns}) VALUES ({values})"), held)


def test_every_changed_field_of_every_kind_of_entry_is_found_where_it_is(sealed: Spine, unguarded: Unguarded) -> None:
    fill(sealed)
    rows = snapshot(sealed)
    for position, entry in enumerate(sealed.ledger("acme")):
        for field in FIELDS:
            changed = 90 + position if field == "position" else _other(getattr(entry, field))
            with unguarded(sealed) as connection:
                restore(connection, rows)
                update = text(f"UPDATE ledger SET {field} = :v WHERE position = :p")
                connection.execute(update, {"v": changed, "p": position})
            found = sealed.verify_ledger("acme")
            assert (found.verified, found.first_bad_entry, found.signed) == (False, position, False), (field, position)
            assert found.reason
            assert found.last_good_position == (position - 1 if position else None)
    with unguarded(sealed) as connection:
        restore(connection, rows)
    assert sealed.verify_ledger("acme").verified


TAMPERINGS = {
    "deleted": "DELETE FROM ledger WHERE position = 3",
    "deleted first": "DELETE FROM ledger WHERE position = 0",
    "tail cut": "DELETE FROM ledger WHERE position = 5",
    "tail cut, head put right": (
        "DELETE FROM ledger WHERE position = 5;"
        "UPDATE ledger_heads SET entries = 5, head_hash = (SELECT entry_hash FROM ledger WHERE position = 4)"
    ),
    "tail and checkpoint cut, head put right": (
        "DELETE FROM ledger WHERE position = 5; DELETE FROM ledger_checkpoints WHERE size = 6;"
        "UPDATE ledger_heads SET entries = 5, peaks = NULL, checkpoint = NULL,"
        " head_hash = (SELECT entry_hash FROM ledger WHERE position = 4)"
    ),
    "two entries swapped": (
        "UPDATE ledger SET position = 99 WHERE position = 2; UPDATE ledger SET position = 2 WHERE position = 3;"
        "UPDATE ledger SET position = 3 WHERE position = 99"
    ),
    "one entry twice": (
        "INSERT INTO ledger (client, position, recorded_at, kind, actor, idempotency_key, body, previous_hash, entry_hash,"
        " hash_version) SELECT client, 6, recorded_at, kind, actor, 'again', body, previous_hash, entry_hash, hash_version"
        " FROM ledger WHERE position = 5"
    ),
    "all gone": "DELETE FROM ledger; DELETE FROM ledger_heads; DELETE FROM ledger_checkpoints",
    "a checkpoint removed": "DELETE FROM ledger_checkpoints WHERE size = 3",
    "the last checkpoint removed": "DELETE FROM ledger_checkpoints WHERE size = 6",
    **{f"head {name}": f"UPDATE ledger_heads SET {name} = {value}" for name, value in {
        "entries": "5", "head_hash": "'0'", "peaks": "NULL", "checkpoint": "'0'", "key_id": "'0'",
    }.items() if name != "peaks"},
    "head's Merkle state": "UPDATE ledger_heads SET peaks = (SELECT root FROM ledger_checkpoints WHERE size = 4)"
    " || ',' || (SELECT root FROM ledger_checkpoints WHERE size = 2)",
    **{f"checkpoint {name}": f"UPDATE ledger_checkpoints SET {name} = '{'0' * 64}' WHERE size = 4" for name in (
        "root", "head_hash", "signed_at", "previous", "key_id", "signature",
    )},
    **{f"last checkpoint {name}": f"UPDATE ledger_checkpoints SET {name} = '{'0' * 64}' WHERE size = 6" for name in (
        "root", "head_hash", "signed_at", "previous", "key_id", "signature",
    )},
    "checkpoint size": "UPDATE ledger_checkpoints SET size = 7 WHERE size = 6",
}  # fmt: skip


def test_what_is_removed_added_or_moved_is_found(sealed: Spine, unguarded: Unguarded, tmp_path: Path) -> None:
    fill(sealed)
    rows, with_witness = snapshot(sealed), sealed.seal
    for how, statements in TAMPERINGS.items():
        with unguarded(sealed) as connection:
            restore(connection, rows)
            for statement in statements.split(";"):
                connection.exec_driver_sql(statement)
        sealed.seal = with_witness
        found = sealed.verify_ledger("acme")
        assert (found.verified, found.signed) == (False, False), how
        assert found.reason
        # The database alone shows it too, but for what only a witness can know of.
        sealed.seal = Seal(KeyRing(tmp_path / "keys"), ())
        unseen = how in ("tail and checkpoint cut, head put right", "all gone")
        assert sealed.verify_ledger("acme").verified == unseen, how


def rewrite(spine: Spine, unguarded: Unguarded, position: int) -> None:
    """Change an entry and put right every hash behind it, the head's with them, as one with the whole database can."""
    entries = spine.ledger("acme")
    previous, peaks = GENESIS, Peaks()
    with unguarded(spine) as connection:
        for entry in entries:
            body = '{"number":77}' if entry.position == position else entry.body
            blank = replace(entry, body=body, previous_hash=previous, entry_hash="")
            new = replace(blank, entry_hash=entry_hash(blank))
            previous = new.entry_hash
            peaks.add(leaf_of(new))
            connection.execute(
                text(
                    "UPDATE ledger SET body = :body, previous_hash = :previous_hash, entry_hash = :entry_hash WHERE position = :position"
                ),
                {name: getattr(new, name) for name in ("body", "previous_hash", "entry_hash", "position")},
            )
        connection.execute(
            text("UPDATE ledger_heads SET head_hash = :h, peaks = :p"),
            {"h": previous, "p": ",".join(each.hex() for each in peaks.peaks)},
        )


def test_a_chain_rewritten_with_right_hashes_is_found_by_its_checkpoints_and_not_without(
    sealed: Spine, unguarded: Unguarded
) -> None:
    fill(sealed)
    rewrite(sealed, unguarded, position=2)
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.first_bad_entry, found.last_good_position) == (False, 2, 1)
    assert "rewritten" in found.reason
    # The bare chain sees nothing: this is what the checkpoints are for.
    with unguarded(sealed) as connection:
        connection.exec_driver_sql("DELETE FROM ledger_checkpoints")
        connection.exec_driver_sql("UPDATE ledger_heads SET checkpoint = NULL, key_id = NULL")
    sealed.seal = None
    assert sealed.verify_ledger("acme").verified


def test_a_rewritten_database_whose_checkpoints_are_signed_anew_by_another_key_disagrees_with_the_witness(
    sealed: Spine, unguarded: Unguarded, tmp_path: Path
) -> None:
    fill(sealed)
    rewrite(sealed, unguarded, position=2)
    with unguarded(sealed) as connection:
        connection.exec_driver_sql("DELETE FROM ledger_checkpoints")
        connection.exec_driver_sql("UPDATE ledger_heads SET checkpoint = NULL, key_id = NULL")
    honest = sealed.seal
    sealed.seal = Seal(KeyRing(tmp_path / "forged"), ())
    sealed.checkpoint("acme")
    assert sealed.verify_ledger("acme").verified  # by the forger's own key
    sealed.seal = honest
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.last_good_position) == (False, 1)
    assert "not known" in found.reason
    assert "witness" in found.reason


def test_a_changed_witness_is_told_and_a_line_cut_by_a_crash_is_not(sealed: Spine, tmp_path: Path) -> None:
    fill(sealed)
    file = witness.witness_file(tmp_path / "witness", "acme")
    whole = file.read_text()
    file.write_text(whole[:-40])
    assert sealed.verify_ledger("acme").verified
    fill(sealed, 1, start=7)  # behind the broken line
    file.write_text(whole.replace('"size":3', '"size":4', 1))
    assert "other than the ledger's" in sealed.verify_ledger("acme").reason
    file.write_text("{}\n")
    assert "line 1" in sealed.verify_ledger("acme").reason


# -- guards, keys, bad input ------------------------------------------------------------------------------------------


REFUSED = (
    "UPDATE ledger SET body = '{}' WHERE position = 1",
    "DELETE FROM ledger WHERE position = 1",
    "DELETE FROM ledger_heads",
    "UPDATE ledger_heads SET entries = 1",
    "UPDATE ledger_checkpoints SET root = ''",
    "DELETE FROM ledger_checkpoints",
)


def test_the_database_itself_refuses_to_change_a_ledger(sealed: Spine) -> None:
    fill(sealed, 3)
    for statement in REFUSED:
        with pytest.raises(DatabaseError, match="only added to"), sealed.engine.begin() as connection:
            connection.exec_driver_sql(statement)
    assert sealed.verify_ledger("acme").verified


def test_a_key_that_is_absent_open_to_others_or_broken_is_named_and_entries_are_still_written(
    sealed: Spine, tmp_path: Path
) -> None:
    fill(sealed, 2)
    (private,) = [each for each in (tmp_path / "keys").glob("*.pem") if not each.name.endswith(".pub.pem")]
    assert private.stat().st_mode & 0o777 == 0o600
    content = private.read_bytes()
    private.chmod(0o644)
    with pytest.raises(KeyProblem, match="chmod 600"):
        KeyRing(tmp_path / "keys").current()
    private.write_bytes(b"-----BEGIN")
    private.chmod(0o600)
    with pytest.raises(KeyProblem, match="no private key"):
        KeyRing(tmp_path / "keys").current()
    private.unlink()
    fill(sealed, 1, start=2)
    found = sealed.verify_ledger("acme")
    assert (found.verified, found.signed, found.signed_entries) == (True, False, 2)
    with pytest.raises(KeyProblem, match="--lost"):
        sealed.checkpoint("acme")
    private.write_bytes(content)
    private.chmod(0o600)
    fill(sealed, 1, start=3)
    assert sealed.verify_ledger("acme").signed


def test_an_empty_ledger_has_nothing_to_sign_and_a_broken_one_is_not_signed(
    sealed: Spine, unguarded: Unguarded
) -> None:
    with pytest.raises(SpineError, match="empty"):
        sealed.checkpoint("acme")
    assert sealed.verify_ledger("acme").verified
    seal, sealed.seal = sealed.seal, None
    fill(sealed, 3)
    with unguarded(sealed) as connection:
        connection.exec_driver_sql("UPDATE ledger SET actor = 'x' WHERE position = 1")
        connection.exec_driver_sql("UPDATE ledger_heads SET peaks = NULL")
    sealed.seal = seal
    with pytest.raises(NotVerified, match="entry 1"):
        sealed.checkpoint("acme")


def test_what_is_rolled_back_is_told_to_no_witness(sealed: Spine, tmp_path: Path) -> None:

    def fails() -> None:
        with sealed._session() as session:
            sealed.append_within(session, "acme", [LedgerNote("k", "a", {}, "1")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert witness.read_lines(witness.witness_file(tmp_path / "witness", "acme"), "acme") == []
    fill(sealed, 1)
    held = witness.read_lines(witness.witness_file(tmp_path / "witness", "acme"), "acme")
    assert held == sealed.checkpoints("acme")


def test_an_object_store_is_a_witness_too(sealed: Spine, tmp_path: Path) -> None:
    sealed.seal = Seal(KeyRing(tmp_path / "keys"), (f"file://{tmp_path}/bucket",))
    fill(sealed, 2)
    made = sealed.checkpoint("acme")
    assert witness.read_objects(f"file://{tmp_path}/bucket", "acme") == [made]
    assert sealed.verify_ledger("acme").witnessed == 2
    next((tmp_path / "bucket" / "acme").iterdir()).write_text(json.dumps(told(replace(made, root="0"))))
    assert "witness" in sealed.verify_ledger("acme").reason
