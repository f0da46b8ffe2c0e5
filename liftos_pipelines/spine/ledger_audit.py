"""The walk over a whole ledger: what is wrong, where, and until when it was surely good. Pure.

One pass: positions, links and hashes of the entries, the Merkle root at every checkpoint, the checkpoints' own links
and signatures, what witnesses hold, and the recorded end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from liftos_pipelines.spine.checkpoints import (
    GENESIS,
    KEY_ENDORSED,
    Checkpoint,
    Stub,
    endorsed,
    signature_holds,
)
from liftos_pipelines.spine.ledger import LedgerEntry, entry_hash, leaf_of
from liftos_pipelines.spine.merkle import Peaks

REASONS = 6


@dataclass(frozen=True, kw_only=True)
class Head:
    """What is recorded beside a ledger of its end; `peaks` and `checkpoint` are None where they were not kept yet."""

    entries: int
    head_hash: str
    peaks: tuple[str, ...] | None = None
    checkpoint: str | None = None
    key_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerAudit:
    """Outcome of a verification; `first_bad_entry` is a position, None when all is well or no entry is to blame.

    `root_hash` is the last entry's hash, `merkle_root` the root over all entries. `signed` says that a checkpoint whose
    signature holds covers the last entry; `signed_entries` how many are covered; `last_good_position` and
    `last_good_at` are those of the newest checkpoint that holds against the entries, None where there is none.
    `retired` counts entries that only a signed stub stands for.
    """

    verified: bool
    entries: int
    first_bad_entry: int | None
    root_hash: str
    reason: str
    merkle_root: str = ""
    checkpoints: int = 0
    signed: bool = False
    signed_entries: int = 0
    key_id: str | None = None
    last_good_position: int | None = None
    last_good_at: str | None = None
    retired: int = 0
    witnessed: int | None = None
    """How many entries the farthest witness covers; None where no witness was asked."""
    peaks: Peaks = field(default_factory=Peaks, compare=False, repr=False)
    """The Merkle state at the end."""

    def with_problems(self, problems: Sequence[str]) -> LedgerAudit:
        """The same with findings of others: nothing verifies that has one."""
        if not problems:
            return self
        reason = "; ".join([*([self.reason] if self.reason else []), *problems])
        return replace(self, verified=False, signed=False, reason=reason)


@dataclass
class _Walk:
    problems: list[tuple[int | None, str]] = field(default_factory=list)
    good: list[Checkpoint] = field(default_factory=list)
    differing: int = 0
    """Checkpoints whose root is not that of the entries."""

    def wrong(self, position: int | None, reason: str) -> None:
        self.problems.append((position, reason))


def audit(
    client: str,
    entries: Iterable[LedgerEntry],
    *,
    head: Head | None,
    checkpoints: Sequence[Checkpoint] = (),
    stub: Stub | None = None,
    witnessed: Sequence[Checkpoint] | None = None,
    trusted: Mapping[str, bytes] | None = None,
) -> LedgerAudit:
    """Verify a ledger against all that is known of it.

    Parameters
    ----------
    entries : in order of position, those behind the stub if there is one
    head : what is recorded of the end; None where nothing is (an export), then the checkpoints alone say how long it is
    trusted : public keys by key id; None leaves signatures unverified, and nothing then counts as signed
    witnessed : checkpoints held outside the database, in any order
    """
    walk = _Walk()
    known = dict(trusted or {})
    begin = stub.size if stub else 0
    try:
        peaks = Peaks(begin, [bytes.fromhex(each) for each in stub.peaks] if stub else [])
    except (ValueError, TypeError, AttributeError) as error:
        return _told([(0, f"the stub of retired entries is broken: {error}")], 0, GENESIS)
    previous, count = (stub.head_hash, begin) if stub else (GENESIS, 0)
    if any(not isinstance(each.size, int) for each in checkpoints):  # a database that keeps any value in any column
        walk.wrong(None, "a checkpoint was changed: its size is no number")
        checkpoints = [each for each in checkpoints if isinstance(each.size, int)]
    claims = _claims(walk, client, checkpoints, witnessed or (), head)
    at_size: dict[int, list[Checkpoint]] = {}
    for claim in claims:
        at_size.setdefault(claim.size, []).append(claim)
    for claim in at_size.get(begin, ()):
        _compare(walk, claim, peaks.root().hex(), previous, begin)
    handed_over: list[tuple[int, str]] = []
    for entry in entries:
        problem = None
        if entry.client != client:
            problem = f"belongs to {entry.client}"
        elif not isinstance(entry.position, int):
            problem = f"its position is {entry.position!r}"
        elif entry.position != count:
            problem = f"position {count} is missing" if entry.position > count else f"position {entry.position} again"
        elif entry.previous_hash != previous:
            problem = "does not link to the entry before it"
        elif entry_hash(entry) != entry.entry_hash:
            problem = "its content does not match its hash"
        if problem:
            walk.wrong(count, f"entry {count}: {problem}")
            break
        peaks.add(leaf_of(entry))
        previous, count = entry.entry_hash, count + 1
        if entry.kind == KEY_ENDORSED:
            try:
                body = entry.content
            except (ValueError, TypeError):
                walk.wrong(count - 1, f"entry {count - 1}: hands over to a key and its body is no object")
                body = {}
            if "carried_from" not in body:
                handed_over.append((count, str(body.get("key_id"))))
            if (key := endorsed(client, body, known)) is not None:
                known.setdefault(*key)
        for claim in at_size.get(count, ()):
            _compare(walk, claim, peaks.root().hex(), previous, begin)
    else:
        _check_end(walk, head, claims, count, previous, peaks)
    if stub is not None:
        for problem in stub_problems(client, stub, known if trusted is not None else None):
            walk.wrong(0, problem)
    signed = _check_signatures(walk, claims, known, handed_over, checkpoints) if trusted is not None else set()
    newest = max((each for each in walk.good if each.identity in signed), key=lambda each: each.size, default=None)
    unsigned_good = max(walk.good, key=lambda each: each.size, default=None)
    last_good = newest if trusted is not None else unsigned_good
    return _told(
        walk.problems,
        count,
        previous,
        merkle_root=peaks.root().hex(),
        peaks=peaks,
        checkpoints=len(checkpoints),
        signed=not walk.problems and newest is not None and newest.size == count,
        signed_entries=newest.size if newest else 0,
        key_id=newest.key_id if newest else None,
        last_good_position=last_good.size - 1 if last_good else None,
        last_good_at=last_good.signed_at if last_good else None,
        retired=begin,
        witnessed=None if witnessed is None else max((each.size for each in witnessed), default=0),
    )


def _told(problems: Sequence[tuple[int | None, str]], count: int, head: str, **others: object) -> LedgerAudit:
    where = [position for position, _ in problems if position is not None]
    return LedgerAudit(
        verified=not problems,
        entries=count,
        first_bad_entry=min(where, default=None),
        root_hash=head,
        reason="; ".join(_first(problems)),
        **others,  # type: ignore[arg-type]
    )


def _first(problems: Sequence[tuple[int | None, str]]) -> list[str]:
    """What is wrong with the entries before what is wrong with checkpoints, the rest counted."""
    ordered = [reason for position, reason in sorted(problems, key=lambda each: each[0] is None)]
    more = len(ordered) - REASONS
    return ordered[:REASONS] + ([f"and {more} more"] if more > 0 else [])


def stub_problems(client: str, stub: Stub, trusted: Mapping[str, bytes] | None) -> Iterator[str]:
    """What is wrong with a stub by itself; `trusted` None leaves its signature unverified."""
    if stub.client != client:
        yield f"the stub of retired entries is {stub.client}'s"
    try:
        if Peaks(stub.size, [bytes.fromhex(each) for each in stub.peaks]).root().hex() != stub.root:
            yield "the stub of retired entries does not add up to its root"
    except ValueError as error:
        yield f"the stub of retired entries is broken: {error}"
    if trusted is None:
        return
    if stub.key_id not in trusted:
        yield f"the stub of {stub.size} retired entries is signed by key {stub.key_id}, which is not known"
    elif not signature_holds(trusted[stub.key_id], stub.signature, stub.message()):
        yield f"the stub of {stub.size} retired entries was changed: its signature does not hold"


def _claims(
    walk: _Walk, client: str, checkpoints: Sequence[Checkpoint], witnessed: Sequence[Checkpoint], head: Head | None
) -> list[Checkpoint]:
    """All checkpoints to hold the entries against, by size; gaps and contradictions between them are told."""
    before: Checkpoint | None = None
    for each in checkpoints:
        if each.client != client:
            walk.wrong(None, f"the checkpoint of {each.size} entries is {each.client}'s")
        expected = before.identity if before else GENESIS
        if each.previous != expected:
            since = "the start" if before is None else f"that of {before.size} entries"
            walk.wrong(
                None, f"the checkpoint of {each.size} entries does not follow {since}: one was changed or removed"
            )
        before = each
    if head is not None and head.checkpoint is not None and head.checkpoint != (before.identity if before else GENESIS):
        walk.wrong(None, "the newest checkpoint is not the one that was recorded: it was changed or removed")
    if head is not None and before is not None and head.key_id not in (None, before.key_id):
        # A key that has just taken over signs the next checkpoint, which comes with the entry that says so.
        walk.wrong(None, f"the newest checkpoint is signed by key {before.key_id}, the ledger's key is {head.key_id}")
    held = {each.size: each for each in checkpoints}
    for what, differing in (
        ("that the ledger lacks", sorted(each.size for each in witnessed if each.size not in held)),
        ("other than the ledger's", sorted(each.size for each in witnessed if held.get(each.size, each) != each)),
    ):
        if differing:
            sizes = f"{differing[0]}" + (f" to {differing[-1]}" if len(differing) > 1 else "")
            walk.wrong(None, f"a witness holds {len(differing)} checkpoint(s) of {sizes} entries {what}")
    together = [*checkpoints, *(each for each in witnessed if held.get(each.size) != each)]
    return sorted(together, key=lambda each: each.size)


def _compare(walk: _Walk, claim: Checkpoint, root: str, last_hash: str, begin: int) -> None:
    if claim.root == root and claim.head_hash == last_hash:
        walk.good.append(claim)
        return
    walk.differing += 1
    if walk.differing > 1:
        return  # the checkpoints behind it say the same
    since = max((each.size for each in walk.good), default=begin)
    walk.wrong(
        since,
        f"entries {since} to {claim.size - 1} are not those that the checkpoint of {claim.signed_at} covers: "
        "they were rewritten, or the checkpoint was",
    )


def _check_end(
    walk: _Walk, head: Head | None, claims: Sequence[Checkpoint], count: int, last_hash: str, peaks: Peaks
) -> None:
    beyond = [each for each in claims if each.size > count]
    if beyond:
        newest = beyond[-1]
        walk.wrong(
            count,
            f"the ledger ends after {count} entries, the checkpoint of {newest.signed_at} covers {newest.size}: "
            "the tail was cut",
        )
    if head is None:
        return
    if (head.entries, head.head_hash) != (count, last_hash):
        walk.wrong(count, f"the chain ends after {count} entries, {head.entries} were recorded")
    elif head.peaks is not None and head.peaks != tuple(each.hex() for each in peaks.peaks):
        walk.wrong(None, "the recorded state of the Merkle tree is not that of the entries")


def _check_signatures(
    walk: _Walk,
    claims: Sequence[Checkpoint],
    known: Mapping[str, bytes],
    handed_over: Sequence[tuple[int, str]],
    checkpoints: Sequence[Checkpoint],
) -> set[str]:
    """Identities of the checkpoints whose signature holds.

    A checkpoint's signature covers the hash of the one before, so that of a chain under one key the last signature
    vouches for all; verified are the last of each such chain, and each that only a witness holds.
    """
    holding: set[str] = set()
    chained = {each.identity for each in checkpoints}
    vouched, vouching_key = "", ""
    for each in [*(each for each in claims if each.identity not in chained), *reversed(checkpoints)]:
        identity = each.identity
        if not (identity == vouched and each.key_id == vouching_key):
            key = known.get(each.key_id)
            if key is None:
                walk.wrong(None, f"the checkpoint of {each.size} entries is signed by key {each.key_id}, not known")
                continue
            if not signature_holds(key, each.signature, each.message()):
                walk.wrong(None, f"the checkpoint of {each.size} entries was changed: its signature does not hold")
                continue
        holding.add(identity)
        vouched, vouching_key = each.previous, each.key_id
        by_then = [key_id for size, key_id in handed_over if size <= each.size]
        if by_then and each.key_id != by_then[-1]:
            walk.wrong(None, f"the checkpoint of {each.size} entries is signed by key {each.key_id}, retired by then")
    return holding
