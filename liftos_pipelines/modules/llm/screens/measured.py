"""What the screens are known to find and to miss, for the reader of a table; measured by `liftos bench llm`."""

from __future__ import annotations

MEASURED = "unknown"
