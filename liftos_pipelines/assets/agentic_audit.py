"""The proof of what agents decided: the ledger signed, recomputed, and its grounds followed."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, lift_asset, result
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine, SpineError
from liftos_pipelines.spine.grounds import Grounds, cited_memories, grounds
from liftos_pipelines.spine.ledger import LedgerEntry
from liftos_pipelines.spine.ledger_retire import retention_of
from liftos_pipelines.tables import table

EXTRA = {
    "reason": pl.String(),
    "merkle_root": pl.String(),
    "checkpoints": pl.Int64(),
    "signed": pl.Boolean(),
    "signed_entries": pl.Int64(),
    "key_id": pl.String(),
    "last_good_position": pl.Int64(),
    "last_good_at": pl.String(),
    "retired": pl.Int64(),
    "witnessed": pl.Int64(),
    "retention_days": pl.Int64(),
    "unsigned_because": pl.String(),
    "decisions_judged": pl.Int64(),
    "decisions_accountable": pl.Float64(),
    "decisions_lack": pl.String(),
}


@lift_asset(
    "agentic/ledger_audit",
    deps=[dg.AssetKey(["agentic", "policy_decisions"]), dg.AssetKey(["agentic", "proposals"])],
    kinds={"sqlalchemy"},
    code_version="2",
)
def ledger_audit(
    context: dg.AssetExecutionContext, spine: SpineResource, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """The client's ledger signed and recomputed from its start: whether every entry is as written and none is missing,
    until when it was surely good, and whether what decisions cite is still there."""
    client, log = context.partition_key, spine.get()
    unsigned = _sign(log, client)
    entries = log.ledger(client)
    audit = log.audit_ledger(client, entries)
    followed = _grounds(entries, log, lake.get(), client)
    row = {
        "verified": audit.verified,
        "entries": audit.entries,
        "first_bad_entry": audit.first_bad_entry,
        "root_hash": audit.root_hash,
        "reason": audit.reason,
        "merkle_root": audit.merkle_root,
        "checkpoints": audit.checkpoints,
        "signed": audit.signed,
        "signed_entries": audit.signed_entries,
        "key_id": audit.key_id,
        "last_good_position": audit.last_good_position,
        "last_good_at": audit.last_good_at,
        "retired": audit.retired,
        "witnessed": audit.witnessed,
        "retention_days": retention_of(client_of(context)),
        "unsigned_because": unsigned,
        "decisions_judged": followed.judged,
        "decisions_accountable": followed.share,
        "decisions_lack": followed.words(),
    }
    schema = {**table("agentic/ledger_audit").columns, **EXTRA}
    return result(
        pl.DataFrame([row], schema=schema),
        verified=audit.verified,
        entries=audit.entries,
        signed=audit.signed,
        checkpoints=audit.checkpoints,
        decisions_accountable=followed.share,
        key_id=audit.key_id or "none",
        reason=audit.reason or "none",
        not_signed_because=unsigned or "none",
    )


def _sign(log: Spine, client: str) -> str | None:
    """Why the ledger could not be signed, None when it is, or when there is nothing to sign yet."""
    try:
        if log.head(client) is not None:
            log.checkpoint(client)
    except SpineError as problem:
        return str(problem)
    return None


def _grounds(entries: list[LedgerEntry], log: Spine, store: Lake, client: str) -> Grounds:
    memories: set[str] = set()
    if any(cited_memories(entry) for entry in entries):
        memories = set(store.read(client, "memory/items")["memory_id"].to_list())
    versions: dict[str, int | None] = {}

    def version(name: str) -> int | None:
        if name not in versions:
            versions[name] = store.version(client, name)
        return versions[name]

    events = {event.event_id for event in log.events(client)}
    return grounds(entries, events=events, memories=memories, table_version=version)
