"""Triggers by which the database itself refuses to change a ledger: resistance, not proof; the proof is by checkpoints.

Entries, checkpoints and stubs are only added. An entry is deleted only where a stub stands for it, which `retire` signs
and writes first; a head never goes back. Whoever may drop triggers gets past them, and is found by verification.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

TABLES = ("ledger", "ledger_checkpoints", "ledger_stubs", "ledger_heads")
_RETIRED = "EXISTS (SELECT 1 FROM ledger_stubs s WHERE s.client = OLD.client AND OLD.position < s.size)"
_SAID = "a ledger is only added to; liftos ledger retire removes what is older than its retention"


def arm(connection: Connection) -> None:
    """Create the guards."""
    for statement in _sqlite() if connection.dialect.name == "sqlite" else _postgres():
        connection.execute(text(statement))


def disarm(connection: Connection) -> None:
    """Drop the guards: for a downgrade, and for tests that play the one who gets past them."""
    for name in TABLES:
        for what in ("update", "delete", "insert", "truncate"):
            if connection.dialect.name == "sqlite":
                connection.execute(text(f"DROP TRIGGER IF EXISTS {name}_no_{what}"))
            else:
                connection.execute(text(f"DROP TRIGGER IF EXISTS {name}_no_{what} ON {name}"))


def _sqlite() -> list[str]:
    def refuse(table: str, what: str, when: str = "") -> str:
        condition = f"WHEN {when} " if when else ""
        return (
            f"CREATE TRIGGER {table}_no_{what} BEFORE {what.upper()} ON {table} FOR EACH ROW {condition}"
            f"BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
        )

    return [
        refuse("ledger", "update"),
        refuse("ledger", "delete", f"NOT {_RETIRED}"),
        # INSERT OR REPLACE would delete without asking the trigger above.
        refuse(
            "ledger",
            "insert",
            "EXISTS (SELECT 1 FROM ledger l WHERE l.client = NEW.client AND l.position = NEW.position)",
        ),
        *(refuse(table, what) for table in ("ledger_checkpoints", "ledger_stubs") for what in ("update", "delete")),
        refuse("ledger_heads", "update", "NEW.entries < OLD.entries OR NEW.client <> OLD.client"),
        refuse("ledger_heads", "delete"),
    ]


def _postgres() -> list[str]:
    def refuse(table: str, what: str, when: str = "") -> str:
        each = "STATEMENT" if what == "truncate" else "ROW"
        condition = f"WHEN ({when}) " if when else ""
        return (
            f"CREATE TRIGGER {table}_no_{what} BEFORE {what.upper()} ON {table} FOR EACH {each} {condition}"
            "EXECUTE FUNCTION ledger_refuses()"
        )

    return [
        f"CREATE OR REPLACE FUNCTION ledger_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{_SAID}'; END $$",
        # A trigger's WHEN cannot look into another table; its function can.
        f"CREATE OR REPLACE FUNCTION ledger_lets_go() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF {_RETIRED} THEN RETURN OLD; END IF; RAISE EXCEPTION '{_SAID}'; END $$",
        refuse("ledger", "update"),
        "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_lets_go()",
        *(refuse(table, what) for table in ("ledger_checkpoints", "ledger_stubs") for what in ("update", "delete")),
        refuse("ledger_heads", "update", "NEW.entries < OLD.entries OR NEW.client <> OLD.client"),
        refuse("ledger_heads", "delete"),
        *(refuse(table, "truncate") for table in TABLES),
    ]
