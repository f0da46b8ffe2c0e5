"""What every screen answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Screened:
    """One screen's answer for one text.

    `flagged` and `probability` are None where the screen cannot read the text: not measured, which is not "clean".
    `spans` are what it points at, as read (a masked text is quoted as unmasked); `kind` names what was found.
    """

    flagged: bool | None
    probability: float | None = None
    spans: tuple[str, ...] = ()
    kind: str | None = None


UNREAD = Screened(flagged=None)
