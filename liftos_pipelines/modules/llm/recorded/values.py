"""Single values of recordings: times, counts, money, JSON in text, a person's verdict. Unreadable is an error."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from liftos_pipelines.text import read_json

GOOD = frozenset(
    {"positive", "thumbs_up", "thumbs-up", "thumbsup", "up", "good", "like", "yes", "true", "correct", "👍"}
)
BAD = frozenset({"negative", "thumbs_down", "thumbs-down", "thumbsdown", "down", "bad", "dislike", "no", "false", "👎"})
NEUTRAL = frozenset({"neutral"})
FEEDBACK_NAMES = frozenset({"user_feedback", "feedback", "user_rating", "thumbs", "thumbs_up", "human_feedback"})
"""Names under which tools record what the user said of an answer; other assessments are not the user's verdict."""
REFERENCE_NAMES = frozenset({"expected_response", "expected_output", "expected_answer", "reference", "ground_truth"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unreadable(ValueError):
    """A value that says something that cannot be used; the message says what and why."""


def as_json(value: Any) -> Any:
    """JSON written as text, parsed; anything else, and text that is not JSON, as it is."""
    if not isinstance(value, str) or value.strip()[:1] not in '{["0123456789-tfn':
        return value
    try:
        return read_json(value)
    except (ValueError, RecursionError):
        return value


def as_text(value: Any) -> str | None:
    """Text as it is, other values as JSON; None and blank text are None."""
    if value is None:
        return None
    if isinstance(value, str):
        return value if value.strip() else None
    return json.dumps(value, ensure_ascii=False, default=str)


def shown(value: Any, width: int = 2000) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= width else text[: width - 3] + "..."


def as_count(value: Any) -> int | None:
    """A number of tokens. None where nothing was said; raises Unreadable for a negative or broken one."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise Unreadable(f"says {json.dumps(value)}, which is not a count")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise Unreadable(f"says {json.dumps(str(value))}, which is not a count") from None
    if not number.is_finite() or number != number.to_integral_value() or abs(number) >= 2**53:
        raise Unreadable(f"says {number}, which is not a whole number")
    if number < 0:
        raise Unreadable(f"is negative ({number})")
    return int(number)


def as_money(value: Any) -> Decimal | None:
    """An amount of at least zero. None where nothing was said; raises Unreadable for a negative or broken one."""
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise Unreadable(f"says {json.dumps(str(value))}, which is not an amount") from None
    if isinstance(value, bool) or not number.is_finite():
        raise Unreadable(f"says {json.dumps(str(value))}, which is not an amount")
    if number < 0:
        raise Unreadable(f"is negative ({number})")
    return number


def as_share(value: Any) -> float | None:
    """A probability in (0, 1]; None where nothing was said."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Unreadable(f"says {shown(value, 80)}, which is not a probability") from None
    if isinstance(value, bool) or math.isnan(number) or not 0 < number <= 1:
        raise Unreadable(f"is {number}, not a probability above 0 and up to 1")
    return number


def nanoseconds(value: Any) -> datetime | None:
    """Unix nanoseconds as a UTC time, cut to microseconds; 0 and nothing are None."""
    if value is None or value in ("", 0, "0"):
        return None
    try:
        return EPOCH + timedelta(microseconds=int(value) // 1000)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(f"says {shown(value, 80)}, which is not a time in Unix nanoseconds") from None


def moment(value: Any) -> datetime | None:
    """An ISO 8601 time (UTC where no offset stands), or Unix milliseconds; nothing is None."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return EPOCH + timedelta(milliseconds=value)
        found = datetime.fromisoformat(str(value).strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unreadable(f"says {shown(value, 80)}, which is not an ISO 8601 time") from None


def verdict(value: Any, *, two_valued: bool = False) -> int:
    """A user's feedback as -1, 0 or 1. `two_valued`: the tool says it is a yes or no, so 0 means no.

    Raises
    ------
    Unreadable : a rating on another scale; it is not turned into one of these by a guess
    """
    if isinstance(value, bool):
        return 1 if value else -1
    if isinstance(value, str):
        word = value.strip().lower().replace(" ", "_")
        for words, meaning in ((GOOD, 1), (BAD, -1), (NEUTRAL, 0)):
            if word in words:
                return meaning
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Unreadable(f"says {shown(value, 80)}, which is neither for nor against") from None
    if two_valued and number in (0, 1):
        return 1 if number else -1
    if number in (-1, 0, 1):
        return int(number)
    raise Unreadable(f"is {number:g}, on a scale that is not -1, 0, 1")


def hexadecimal(value: Any) -> str | None:
    """An identifier of a span or trace as lower-case hexadecimal, also from base64 (protobuf's JSON) or `0x...`."""
    if value is None:
        return None
    text = str(value).strip().removeprefix("0x")
    if not text:
        return None
    try:
        int(text, 16)
        return text.lower()
    except ValueError:
        pass
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
    return found.hex() if len(found) in (8, 16) else text


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object, also where it was written as text; anything else is empty."""
    found = as_json(value)
    return found if isinstance(found, Mapping) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The JSON objects of a list, also where it was written as text; anything else is no object."""
    found = as_json(value)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def identifier(value: Any) -> str | None:
    """An id as text; a structure is not one."""
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None
