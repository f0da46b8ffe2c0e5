"""What the ledger proves and what it costs: tampering by class, verification, appending, export."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liftos_pipelines.bench.figure import Figure, milliseconds, p95_interval

if TYPE_CHECKING:
    from liftos_pipelines.spine.checkpoints import Checkpoint
    from liftos_pipelines.spine.database import LedgerNote, Spine
    from liftos_pipelines.spine.ledger import LedgerEntry
    from liftos_pipelines.spine.ledger_audit import Head

BENCHMARK = "agentic"
TAMPERED, LONG, BATCH = 48, 100_000, 200
APPENDS = 400
CLIENT = "acme"
KINDS = ("agent_decision", "agent_action", "approval_given", "agent_stopped", "policy_violation", "root_cause")
REASON = "harm is likely: probability of harm 0.97, threshold 0.9; the plan takes money off this channel anyway. " * 3


@dataclass(frozen=True)
class _Known:
    """A ledger with all that is recorded of it, as its tamperer leaves it."""

    entries: Sequence[LedgerEntry]
    head: Head
    checkpoints: Sequence[Checkpoint]


def measure(_: Path) -> Iterator[Figure]:
    """On SQLite in a temporary folder, one process; the baseline is the chain of hashes and its head alone."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _tampering(Path(folder) / "small")
        yield from _appending(Path(folder) / "appends")
        yield from _long(Path(folder) / "long")


def _opened(folder: Path, *, sealed: bool = True) -> Spine:
    from liftos_pipelines.spine.database import Spine
    from liftos_pipelines.spine.keys import KeyRing
    from liftos_pipelines.spine.sealing import Seal

    folder.mkdir(parents=True, exist_ok=True)
    spine = Spine(f"sqlite:///{folder}/spine.db")
    if sealed:
        spine.seal = Seal(KeyRing(folder / "keys"), (str(folder / "witness"),))
    return spine


def _note(number: int) -> LedgerNote:
    from liftos_pipelines.spine.database import LedgerNote

    body = {
        "action_id": f"{number:032x}",
        "event_id": f"{number * 7:032x}",
        "decision": "allow",
        "reasoning": REASON,
        "confidence": number % 100 / 100,
        "inputs": [{"table": "causal/budget_plan", "version": number % 9, "rows": number}],
        "evidence": {"effect": -number / 7, "memories": [{"memory_id": f"m{number}", "likeness": 0.25}]},
    }
    return LedgerNote(KINDS[number % len(KINDS)], f"agent{number % 5}", body, f"k{number}")


def _tampering(folder: Path) -> Iterator[Figure]:
    from liftos_pipelines.spine.ledger_audit import audit

    spine = _opened(folder)
    for number in range(TAMPERED):
        spine.append_ledger_many(CLIENT, [_note(number)])
    seal = spine.required_seal()
    trusted, witnessed = seal.ring.public_keys(), spine.witnessed(CLIENT)[0]
    head = spine.head(CLIENT)
    assert head is not None
    honest = _Known(spine.ledger(CLIENT), head, spine.checkpoints(CLIENT))

    def detected(known: _Known) -> bool:
        return not audit(
            CLIENT, known.entries, head=known.head, checkpoints=known.checkpoints, witnessed=witnessed, trusted=trusted
        ).verified

    def bare(known: _Known) -> bool:
        from liftos_pipelines.spine.ledger_audit import Head

        alone = Head(entries=known.head.entries, head_hash=known.head.head_hash)
        return not audit(CLIENT, known.entries, head=alone).verified

    if detected(honest):
        raise AssertionError("an untouched ledger does not verify")
    spine.engine.dispose()
    for name, how in CLASSES.items():
        mutants = list(how(honest))
        found, alone = sum(map(detected, mutants)), sum(map(bare, mutants))
        yield Figure(
            benchmark=BENCHMARK,
            name=f"ledger: {name} detected",
            value=found / len(mutants),
            unit="share",
            method=f"{found} of {len(mutants)} mutants of a ledger of {TAMPERED} entries, six kinds of them",
            n=len(mutants),
            goal="1.00",
            baseline="bare hash chain with its head",
            baseline_value=alone / len(mutants),
        )


def _with(known: _Known, entries: Sequence[LedgerEntry]) -> _Known:
    return replace(known, entries=tuple(entries))


def _fields(known: _Known) -> Iterator[_Known]:
    """Each field of each entry changed in its last letter, by one, or emptied."""
    for place, entry in enumerate(known.entries):
        for field in fields(entry):
            value: Any = getattr(entry, field.name)
            others: list[Any] = [value + 1, -1] if isinstance(value, int) else [value[:-1] + "~", value + " ", ""]
            for other in others:
                changed = replace(entry, **{field.name: other})
                yield _with(known, [*known.entries[:place], changed, *known.entries[place + 1 :]])


def _reordered(known: _Known) -> Iterator[_Known]:
    """Two neighbours swapped, as they are and with their positions put right."""
    entries = known.entries
    for place in range(len(entries) - 1):
        first, second = entries[place], entries[place + 1]
        yield _with(known, [*entries[:place], second, first, *entries[place + 2 :]])
        moved = [replace(second, position=first.position), replace(first, position=second.position)]
        yield _with(known, [*entries[:place], *moved, *entries[place + 2 :]])


def _deleted(known: _Known) -> Iterator[_Known]:
    for place in range(len(known.entries)):
        yield _with(known, [*known.entries[:place], *known.entries[place + 1 :]])


def _doubled(known: _Known) -> Iterator[_Known]:
    entries = known.entries
    for place, entry in enumerate(entries):
        yield _with(known, [*entries[: place + 1], entry, *entries[place + 1 :]])
        yield _with(known, [*entries, replace(entry, position=len(entries))])


def _cut(known: _Known) -> Iterator[_Known]:
    """The tail gone, the head as it was."""
    for size in range(len(known.entries)):
        yield _with(known, known.entries[:size])


def _cut_and_mended(known: _Known) -> Iterator[_Known]:
    """The tail gone with its checkpoints, and the head put right: the whole database in the tamperer's hands."""
    from liftos_pipelines.spine.ledger_audit import Head

    for size in range(1, len(known.entries)):
        kept = [each for each in known.checkpoints if each.size <= size]
        head = Head(entries=size, head_hash=known.entries[size - 1].entry_hash)
        yield _Known(tuple(known.entries[:size]), head, kept)


def _rewritten(known: _Known) -> Iterator[_Known]:
    """One entry changed and every hash behind it put right, the head's too; checkpoints left, or all removed."""
    from liftos_pipelines.spine.ledger import entry_hash
    from liftos_pipelines.spine.ledger_audit import Head

    for place, entry in enumerate(known.entries):
        changed: list[LedgerEntry] = list(known.entries[:place])
        previous = entry.previous_hash
        for number, each in enumerate(known.entries[place:]):
            body = each.body.replace('"allow"', '"deny"') if number == 0 else each.body
            blank = replace(each, body=body, previous_hash=previous)
            changed.append(replace(blank, entry_hash=entry_hash(blank)))
            previous = changed[-1].entry_hash
        head = Head(entries=len(changed), head_hash=previous)
        for checkpoints in (known.checkpoints, ()):
            yield _Known(tuple(changed), head, checkpoints)


CLASSES: dict[str, Callable[[_Known], Iterator[_Known]]] = {
    "single-field changes": _fields,
    "reordering": _reordered,
    "deletion": _deleted,
    "duplication": _doubled,
    "tail truncation": _cut,
    "tail truncation with head and checkpoints mended": _cut_and_mended,
    "chain rewritten with right hashes": _rewritten,
}


def _append(spine: Spine, number: int) -> None:
    spine.append_ledger_many(CLIENT, [_note(number + 1)])


def _appending(folder: Path) -> Iterator[Figure]:
    """One entry a transaction, signed and witnessed, beside the same without."""
    taken = {}
    for sealed in (False, True):
        spine = _opened(folder / str(sealed), sealed=sealed)
        append = partial(_append, spine)
        append(-1)
        taken[sealed] = milliseconds(append, APPENDS)
        spine.engine.dispose()
    p95, low, high = p95_interval(taken[True])
    yield Figure(
        benchmark=BENCHMARK,
        name="ledger: append with a signed checkpoint, p95",
        value=p95,
        unit="ms",
        low=low,
        high=high,
        n=APPENDS,
        method="one entry a transaction: hash, Merkle state, Ed25519 signature, line to the witness",
        baseline="without checkpoint",
        baseline_value=p95_interval(taken[False])[0],
    )


def _long(folder: Path) -> Iterator[Figure]:
    from liftos_pipelines.spine.ledger_export import audit_export, read_export, write_export

    spine = _opened(folder)
    for start in range(0, LONG, BATCH):
        spine.append_ledger_many(CLIENT, [_note(number) for number in range(start, start + BATCH)])
    seal = spine.seal
    began = time.perf_counter()
    found = spine.verify_ledger(CLIENT)
    seconds = time.perf_counter() - began
    spine.seal = None
    began = time.perf_counter()
    spine.verify_ledger(CLIENT)
    unsigned = time.perf_counter() - began
    spine.seal = seal
    if not (found.verified and found.signed):
        raise AssertionError(found.reason)
    yield _seconds(
        f"verify {LONG:,} entries",
        seconds,
        f"read, hash, Merkle tree, {found.checkpoints} checkpoints, signatures, witness",
        goal="< 5 s",
        baseline="without keys and witness",
        baseline_value=unsigned,
    )
    file = folder / "ledger.jsonl"
    entries, checkpoints = spine.ledger(CLIENT), spine.checkpoints(CLIENT)
    keys = spine.required_seal().ring.public_keys()
    began = time.perf_counter()
    with file.open("w", encoding="utf-8") as stream:
        write_export(stream, CLIENT, entries, checkpoints, stub=None, keys=keys, now=datetime.now(UTC))
    yield _seconds(f"export {LONG:,} entries", time.perf_counter() - began, f"{file.stat().st_size / 2**20:,.0f} MiB")
    began = time.perf_counter()
    offline = audit_export(read_export(file, CLIENT), trusted=keys)
    yield _seconds(
        f"verify an export of {LONG:,} entries offline",
        time.perf_counter() - began,
        f"read and verified, {'holds' if offline.verified and offline.signed else 'does not hold'}",
        goal="< 5 s",
    )
    spine.engine.dispose()


def _seconds(name: str, value: float, method: str, **others: Any) -> Figure:
    return Figure(benchmark=BENCHMARK, name=f"ledger: {name}", value=value, unit="s", method=method, n=LONG, **others)
