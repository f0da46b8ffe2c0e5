"""Gates on the record of decisions: it is whole, it is signed, and what it cites can be followed."""

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions

ACCOUNTABLE = 1.0
"""Share of decisions whose inputs, reasoning and evidence must be there."""


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "ledger_audit"]),
    name="ledger_verified",
    blocking=True,
    partitions_def=clients_partitions,
    description="Every entry hashes to what was recorded and links to the one before it, none is missing, and the "
    "ledger is the one that checkpoints and witnesses know.",
)
def ledger_verified(ledger_audit: pl.DataFrame) -> dg.AssetCheckResult:
    audit = ledger_audit.row(0, named=True)
    bad, good = audit["first_bad_entry"], audit.get("last_good_position")
    return dg.AssetCheckResult(
        passed=audit["verified"],
        metadata={
            "entries": float(audit["entries"]),
            "first_bad_entry": "none" if bad is None else float(bad),
            "root_hash": audit["root_hash"],
            "reason": audit.get("reason") or "none",
            "last_good_position": "unknown" if good is None else float(good),
            "last_good_at": audit.get("last_good_at") or "unknown",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "ledger_audit"]),
    name="ledger_signed",
    partitions_def=clients_partitions,
    description="A checkpoint whose signature holds covers the last entry, so that a rewritten ledger would be seen.",
)
def ledger_signed(ledger_audit: pl.DataFrame) -> dg.AssetCheckResult:
    audit = ledger_audit.row(0, named=True)
    return dg.AssetCheckResult(
        passed=bool(audit["signed"]) or audit["entries"] == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "entries": float(audit["entries"]),
            "signed_entries": float(audit["signed_entries"]),
            "key_id": audit["key_id"] or "none",
            "why_not": audit["unsigned_because"] or audit["reason"] or "none",
        },
    )


@dg.asset_check(
    asset=dg.AssetKey(["agentic", "ledger_audit"]),
    name="decisions_accountable",
    partitions_def=clients_partitions,
    description="Every decision, approval, stop and action has its inputs, reasoning and evidence, and what it cites "
    "(event, memories, table versions, the decision itself) is still there.",
)
def decisions_accountable(ledger_audit: pl.DataFrame) -> dg.AssetCheckResult:
    audit = ledger_audit.row(0, named=True)
    share = audit["decisions_accountable"]
    return dg.AssetCheckResult(
        passed=share is None or share >= ACCOUNTABLE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "judged": float(audit["decisions_judged"]),
            "share": "unknown" if share is None else float(share),
            "lacking": audit["decisions_lack"],
        },
    )
