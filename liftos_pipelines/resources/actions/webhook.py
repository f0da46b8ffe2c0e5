"""Messages to the address that the environment names, each with its idempotency key."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from liftos_pipelines.resources.actions.order import WEBHOOK_VARIABLE, ActionFailed

WEBHOOK_SECONDS = 5.0


def post(address: str, content: Mapping[str, Any]) -> None:
    """Post one message.

    Raises
    ------
    ActionFailed : the address is none, cannot be reached, or refuses; the message holds no address
    """
    if not address.startswith(("http://", "https://")):
        raise ActionFailed(f"{WEBHOOK_VARIABLE} is not an http address")
    request = urllib.request.Request(
        address,
        data=json.dumps(content, default=str).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": str(content["action_id"])},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS) as answer:
            if not 200 <= answer.status < 300:
                raise ActionFailed(f"the webhook answered {answer.status}")
    except urllib.error.HTTPError as error:
        raise ActionFailed(f"the webhook answered {error.code}") from error
    except (urllib.error.URLError, OSError) as error:
        raise ActionFailed(f"the webhook cannot be reached: {getattr(error, 'reason', error)}") from error
    except (http.client.HTTPException, ValueError) as error:  # their messages hold the address
        raise ActionFailed(f"the webhook cannot be reached: {type(error).__name__}") from None
