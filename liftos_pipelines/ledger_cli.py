"""`liftos ledger`: show, verify (also offline), sign, export, prove and retire a client's ledger; its keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from liftos_pipelines.spine.checkpoints import Checkpoint
    from liftos_pipelines.spine.database import Spine
    from liftos_pipelines.spine.ledger_audit import LedgerAudit
    from liftos_pipelines.spine.ledger_export import Chosen

ledger_app = typer.Typer(no_args_is_help=True, help="The tamper-evident record of decisions.")
keys_app = typer.Typer(no_args_is_help=True, help="The keys that sign ledgers.")
ledger_app.add_typer(keys_app, name="keys")
console = Console(width=None if sys.stdout.isatty() else 160)
Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]
Since = Annotated[str | None, typer.Option(help="Only entries recorded from then on, ISO date or time (UTC)")]
Until = Annotated[str | None, typer.Option(help="Only entries recorded before then, ISO date or time (UTC)")]
Kinds = Annotated[str | None, typer.Option(help="Only these kinds, with commas: agent_decision,approval_given")]
Agents = Annotated[str | None, typer.Option(help="Only entries of or about these agents, with commas")]
PublicKeys = Annotated[
    list[Path] | None, typer.Option("--public-key", help="A public key that you trust (PEM); may be given again")
]


@ledger_app.command("list")
@ledger_app.command("show", hidden=True)
def show(
    client: Client,
    limit: Annotated[int, typer.Option(help="How many")] = 50,
    kinds: Kinds = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print entries whole, as JSON lines")] = False,
) -> None:
    """The newest entries of a client's ledger, a line each; `liftos explain` takes their hash."""
    spine, wanted = _spine(client), _several(kinds)
    _all_known("kind", wanted, (entry.kind for entry in spine.ledger(client)) if wanted else ())
    entries = spine.ledger(client, kinds=wanted or None)
    for entry in entries[-limit:] if limit > 0 else []:
        if as_json:
            names = ("position", "recorded_at", "kind", "actor", "entry_hash")
            typer.echo(json.dumps({name: getattr(entry, name) for name in names} | {"body": entry.content}))
        else:
            when, gist = entry.recorded_at[:16].replace("T", " "), _gist(entry.content, entry.actor)
            _say(f"{entry.position:>5} {when} {entry.entry_hash[:12]} {entry.kind} by {entry.actor}: {gist}")
    if not entries:
        _say(f"the ledger of {client} is empty")


GIST = (
    *("action", "decision", "status", "policy", "agent_id", "version", "from_stage", "to_stage", "outcome", "vote"),
    *("experiment", "prompt_name", "alias", "to_version", "reason", "reasoning"),
)
"""What of an entry's body its line tells, in this order."""


def _gist(body: dict[str, Any], actor: str) -> str:
    told = [str(body[name]) for name in GIST if body.get(name) not in (None, "", actor)]
    text = " ".join(", ".join(dict.fromkeys(told)).split()) or json.dumps(body, sort_keys=True)
    # What agents wrote stays text: it moves no cursor and turns no line around.
    text = "".join(each if each.isprintable() else "\ufffd" for each in text)
    return text if len(text) <= 160 else text[:157] + "..."


def _all_known(what: str, wanted: Sequence[str], there: Iterable[str]) -> None:
    """A name that is nowhere in the ledger is a mistake, and not an empty answer."""
    known = set(there) if wanted else set()
    strange = [name for name in wanted if name not in known]
    if strange:
        raise ValueError(
            f"no entry has the {what} {', '.join(strange)}; there are {', '.join(sorted(known)) or 'no entries'}"
        )


@ledger_app.command("verify")
def verify(
    client: Client,
    file: Annotated[Path | None, typer.Option(help="An exported file or folder: nothing else is read then")] = None,
    public_key: PublicKeys = None,
    witness: Annotated[
        list[Path] | None, typer.Option(help="A file of checkpoints held elsewhere; may be given again")
    ] = None,
    archive: Annotated[Path | None, typer.Option(help="An archive of retired entries, held against the ledger")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Recompute a ledger, live or from a file; exit code 1 when it does not hold: what, where, good until when."""
    from liftos_pipelines.spine.keys import read_public_keys
    from liftos_pipelines.spine.ledger_export import audit_export, read_export
    from liftos_pipelines.spine.witness import read_lines

    trusted = read_public_keys(public_key) if public_key else None
    held: list[Checkpoint] | None = None
    if witness:
        _all_there(witness)
        held = [each for place in witness for each in read_lines(place, client)]
    notes = []
    if file is not None:
        whole = file / "ledger.jsonl" if file.is_dir() else file
        _all_there([whole])
        export = read_export(whole, client)
        audit = audit_export(export, trusted=trusted, witnessed=held)
        if trusted is None:
            notes.append("by the public keys in the file itself: compare their ids, or give --public-key")
        if export.partial:
            notes.append(
                "a part of the ledger: its entries stand in it as they are; whether others were left out is unknown"
            )
    else:
        spine = _spine(client)
        if held is not None:
            held += spine.witnessed(client)[0]
        audit = spine.audit_ledger(client, spine.ledger(client), trusted=trusted, witnessed=held)
    problem = _archive_problem(client, archive) if archive is not None else None
    if as_json:
        said = {name: getattr(audit, name) for name in type(audit).__dataclass_fields__ if name != "peaks"}
        typer.echo(json.dumps(said | {"notes": notes, "archive": problem}, indent=2))
    else:
        _say(in_words(client, audit))
        for note in [*notes, *([problem] if problem else [])]:
            _say(f"note: {note}")
    raise typer.Exit(0 if audit.verified and not problem else 1)


def in_words(client: str, audit: LedgerAudit) -> str:
    """An audit for a person: what holds or what is wrong, and until when it was surely good."""
    good = "no checkpoint holds"
    if audit.last_good_position is not None:
        good = f"entry {audit.last_good_position} by the checkpoint of {audit.last_good_at}"
    if not audit.verified:
        where = "" if audit.first_bad_entry is None else f" at entry {audit.first_bad_entry}"
        why = (audit.reason or "unknown").removeprefix(f"entry {audit.first_bad_entry}: ")
        return f"The ledger of {client} is broken{where}: {why}. Last known good: {good}"
    retired = f" ({audit.retired} of them retired)" if audit.retired else ""
    signed = f"signed to the last by key {audit.key_id}"
    if not audit.signed:
        signed = f"signed up to {good}, what came after is chained but not signed"
        if not audit.entries:
            signed = "nothing is in it yet"
        elif audit.last_good_position is None:
            signed = "chained but not signed (`liftos ledger checkpoint` signs it)"
        elif audit.last_good_position == audit.entries - 1:
            signed = "signatures unknown: no public key is here to verify them by (LIFTOS_KEYS, or --public-key)"
    witnessed = "" if audit.witnessed is None else f"; witnesses hold checkpoints up to {audit.witnessed} entries"
    entries = "1 entry" if audit.entries == 1 else f"{audit.entries} entries"
    return (
        f"The ledger of {client} holds: {entries}{retired}, head {audit.root_hash}, {signed}, "
        f"{audit.checkpoints} checkpoint(s){witnessed}"
    )


def _archive_problem(client: str, archive: Path) -> str | None:
    """Why an archive is not the one that the ledger's stub stands for; None when it is."""
    from liftos_pipelines.spine.ledger_export import audit_export, read_export
    from liftos_pipelines.spine.ledger_retire import file_sha256

    spine = _spine(client)
    found = audit_export(read_export(archive, client), trusted=spine.required_seal().ring.public_keys())
    if not found.verified:
        return f"{archive}: {found.reason}"
    said = [entry.content for entry in spine.ledger(client, kinds=["ledger_retired"])]
    known = {body.get("archive_sha256") for body in said} | {getattr(spine.stub(client), "archive_sha256", None)}
    return None if file_sha256(archive) in known else f"{archive}: is none of the archives that this ledger names"


@ledger_app.command("checkpoint")
def checkpoint(client: Client) -> None:
    """Sign the ledger as it stands, and tell every witness."""
    made = _spine(client).checkpoint(client)
    _say(f"{made.size} entries, root {made.root}, signed {made.signed_at} by key {made.key_id}")


@ledger_app.command("export")
def export(
    client: Client,
    to: Annotated[Path, typer.Option(help="A file (.jsonl), or a folder: with README, public keys and CSV")],
    since: Since = None,
    until: Until = None,
    kinds: Kinds = None,
    agents: Agents = None,
    csv: Annotated[bool, typer.Option("--csv", help="Into a folder: the entries as CSV too")] = False,
) -> None:
    """Write a ledger, or a part of it with proofs, in a form that an auditor verifies alone."""
    from liftos_pipelines.spine.ledger_export import Chosen

    chosen = Chosen(_moment(since), _moment(until), _several(kinds), _several(agents))
    _all_known("kind", chosen.kinds, (entry.kind for entry in _spine(client).ledger(client)) if chosen.kinds else ())
    count = _export(client, to, chosen, csv=csv)
    _say(
        f"{count} entr{'y' if count == 1 else 'ies'} written to {to}; verify: liftos ledger verify {client} --file {to}"
    )


@ledger_app.command("prove")
def prove(
    client: Client,
    to: Annotated[Path, typer.Option(help="The file to write")],
    positions: Annotated[list[int] | None, typer.Argument(help="Entries to prove, by position")] = None,
    since: Annotated[
        Path | None, typer.Option(help="A file of checkpoints (a witness): prove that the ledger continues its newest")
    ] = None,
) -> None:
    """Prove that entries stand in the ledger, or that it continues a checkpoint that somebody holds."""
    from liftos_pipelines.spine.ledger_export import Chosen
    from liftos_pipelines.spine.witness import read_lines

    if not positions and since is None:
        raise ValueError("say what to prove: positions of entries, or --since FILE with a checkpoint")
    earlier = None
    if since is not None:
        _all_there([since])
        held = read_lines(since, client)
        if not held:
            raise ValueError(f"{since}: holds no checkpoint of {client}")
        earlier = max(held, key=lambda each: each.size)
    count = _export(client, to, Chosen(positions=tuple(positions or ())), since=earlier)
    if positions and count < len(set(positions)):
        raise ValueError(
            f"{client} has {count} of the {len(set(positions))} entries asked for; the others are not there"
        )
    _say(f"written to {to}; verify: liftos ledger verify {client} --file {to}")


@ledger_app.command("retire")
def retire(
    client: Client,
    before: Annotated[str, typer.Option(help="Entries recorded before then, ISO date (UTC)")],
    to: Annotated[Path | None, typer.Option(help="Folder for the archive; by default archive in LIFTOS_HOME")] = None,
) -> None:
    """Archive entries that are older than the retention, signed, and remove them; verification goes on over the cut."""
    from liftos_pipelines import settings
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.spine.ledger_retire import retention_of
    from liftos_pipelines.spine.ledger_retire import retire as retire_before

    spine, moment = _spine(client), _moment(before)
    assert moment is not None
    done = retire_before(
        spine,
        client,
        before=moment,
        retention_days=retention_of(load_client(client)),
        folder=to or settings.home() / "archive" / client,
        now=datetime.now(UTC),
    )
    if done is None:
        _say(f"nothing to retire: no checkpoint of {client} covers only entries before {before}")
        return
    _say(
        f"{done.removed} entries retired to {done.archive} (SHA-256 {done.archive_sha256}); {done.carried} that still "
        "stand were written anew. Keep the archive: the ledger proves it, and cannot make it again"
    )


@keys_app.command("list")
def keys_list() -> None:
    """Keys of this installation, and which ledger is signed with which."""
    from liftos_pipelines.resources.spine import open_spine

    spine = open_spine()
    ring = spine.required_seal().ring
    signs: dict[str, list[str]] = {}
    for name in spine.ledgers():
        head = spine.head(name)
        signs.setdefault(str(head.key_id) if head and head.key_id else "none", []).append(name)
    for key_id in ring.public_keys():
        private = "private key here" if (ring.folder / f"{key_id}.pem").is_file() else "public key only"
        _say(f"{key_id} {private}, signs: {', '.join(signs.pop(key_id, [])) or 'nothing'}")
    for key_id, clients in signs.items():
        _say(f"{'not signed yet' if key_id == 'none' else f'{key_id} absent'}: {', '.join(clients)}")
    _say(f"in {ring.folder}")


@keys_app.command("export")
def keys_export(to: Annotated[Path, typer.Option(help="Folder for the public keys")]) -> None:
    """Write the public keys, to be handed to auditors by a way of their own."""
    from liftos_pipelines.resources.spine import open_spine

    keys = open_spine().required_seal().ring.public_keys()
    if not keys:
        raise ValueError("there is no key yet; it is made when the first ledger is signed (liftos ledger checkpoint)")
    _write_keys(to, keys)
    _say(f"{len(keys)} public key(s) written to {to}: {', '.join(keys)}")


@keys_app.command("rotate")
def keys_rotate(
    by: Annotated[str, typer.Option(help="Who decides; it stands in the ledger")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger")],
    lost: Annotated[bool, typer.Option("--lost", help="The old key is lost: nothing vouches for the new one")] = False,
) -> None:
    """Make a new key and hand every ledger over to it; the old key endorses it in each ledger."""
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.spine.ledger_keys import hand_over

    spine = open_spine()
    new = spine.required_seal().ring.create()
    moved = hand_over(spine, new, by=by, reason=reason, lost=lost)
    _say(f"new key {new.key_id}; it signs from now on: {', '.join(moved) or 'ledgers that are not signed yet'}")


def _export(client: str, to: Path, chosen: Chosen, *, since: Checkpoint | None = None, csv: bool = False) -> int:
    from liftos_pipelines.spine.connection import SpineError
    from liftos_pipelines.spine.ledger_export import write_csv, write_export

    spine, now = _spine(client), datetime.now(UTC)
    if spine.head(client) is None:
        raise ValueError(f"the ledger of {client} is empty: there is nothing to export")
    try:
        spine.checkpoint(client, now=now)
    except SpineError as problem:  # an auditor gets what there is, and is told what no signature covers
        _say(f"note: not signed anew: {problem}")
    entries, checkpoints, keys = (
        spine.ledger(client),
        spine.checkpoints(client),
        spine.required_seal().ring.public_keys(),
    )
    folder = to.suffix == "" or to.is_dir()
    file = to / "ledger.jsonl" if folder else to
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        count = write_export(
            stream,
            client,
            entries,
            checkpoints,
            stub=spine.stub(client),
            keys=keys,
            now=now,
            chosen=chosen,
            since=since,
        )
    if folder:
        _write_keys(to / "keys", keys)
        readme = (Path(__file__).parent / "spine" / "auditor_readme.md").read_text(encoding="utf-8")
        said = {
            "client": client,
            "exported_at": f"{now:%Y-%m-%d %H:%M} UTC",
            "entries": f"{count} entr{'y' if count == 1 else 'ies'}",
            "part": "" if chosen.everything else f", a part: {json.dumps(chosen.words())}",
            "checkpoints": str(len(checkpoints) if chosen.everything and since is None else 1),
            "key_ids": "In this one: " + ", ".join(f"`{key}`" for key in keys),
        }
        for name, value in said.items():
            readme = readme.replace("{" + name + "}", value)
        (to / "README.md").write_text(readme, encoding="utf-8")
        if csv:
            with (to / "ledger.csv").open("w", encoding="utf-8", newline="") as stream:
                write_csv(stream, [entry for entry in entries if chosen.has(entry)])
    return count


def _write_keys(folder: Path, keys: dict[str, bytes]) -> None:
    from liftos_pipelines.spine.keys import public_pem

    folder.mkdir(parents=True, exist_ok=True)
    for key_id, raw in keys.items():
        (folder / f"{key_id}.pem").write_bytes(public_pem(raw))


def _spine(client: str) -> Spine:
    from liftos_pipelines.clients import load_client
    from liftos_pipelines.resources.spine import open_spine

    load_client(client)
    return open_spine()


def _all_there(files: list[Path]) -> None:
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file}: there is no such file")


def _moment(said: str | None) -> datetime | None:
    if said is None:
        return None
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise ValueError(f"{said!r} is no ISO date or time, such as 2026-03-01 or 2026-03-01T12:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _several(said: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in (said or "").split(",") if each.strip())


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
