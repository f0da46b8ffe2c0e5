"""Handing a ledger over to a new key, by an entry that the old key signs."""

from __future__ import annotations

from liftos_pipelines.spine.checkpoints import KEY_ENDORSED, key_message
from liftos_pipelines.spine.keys import SigningKey
from liftos_pipelines.spine.ledger_store import LedgerNote, LedgerStore
from liftos_pipelines.spine.schema import LedgerHeadRow


def hand_over(spine: LedgerStore, new: SigningKey, *, by: str, reason: str, lost: bool = False) -> list[str]:
    """Have every ledger signed by a new key from now on; clients whose ledger changed hands.

    Each ledger gets an entry in which its old key endorses the new one, so that whoever trusts the old key trusts the
    new one from there on, and the old one no longer. Where the old key is `lost` nothing endorses: an auditor must be
    given the new public key by another way.

    Raises
    ------
    KeyProblem : an old key is absent and not said to be lost; ledgers before it in the alphabet have changed hands
    """
    seal = spine.required_seal()
    moved = []
    for client in spine.ledgers():
        with spine._session() as session:
            spine.lock_ledger(session, client)
            head = session.get(LedgerHeadRow, client)
            if head is None or head.key_id in (None, new.key_id):
                continue
            old_id = str(head.key_id)
            body = {
                "key_id": new.key_id,
                "public_key": new.public.hex(),
                "endorsed_by": old_id,
                "endorsement": None,
                "lost": lost,
                "reason": reason,
            }
            if not lost:
                message = key_message(client, new.key_id, new.public.hex(), old_id)
                body["endorsement"] = seal.ring.key(old_id).sign(message)
            head.key_id = new.key_id
            spine.append_within(session, client, [LedgerNote(KEY_ENDORSED, by, body, f"{KEY_ENDORSED}:{new.key_id}")])
            spine.sign_within(session, head)
        moved.append(client)
    return moved
