"""A client's gate as this installation has it: its policy file, its registry in the lake, the spine."""

from __future__ import annotations

import threading
from collections.abc import Callable

from liftos_pipelines import settings
from liftos_pipelines.authority.agents import agents_of
from liftos_pipelines.authority.gate import Gate
from liftos_pipelines.authority.policies import client_policy
from liftos_pipelines.authority.settings import GateSettings
from liftos_pipelines.clients import ClientConfig, clients_folder, load_client
from liftos_pipelines.modules.agentic.policy import Policy
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import open_spine


def open_gate(client: str, *, gate_settings: GateSettings | None = None) -> Gate:
    """The gate of one client. A changed policy or client file holds from the next decision, a changed registry too.

    Raises
    ------
    ClientError : there is no such client, or its file is wrong
    """
    load_client(client)
    agents = agents_of(Lake(settings.lake_uri()), client)
    return Gate(client, policy_of(client), open_spine(), agents, settings=gate_settings)


def policy_of(client: str) -> Callable[[], Policy]:
    """Reads the client's policy as it is now; the client's file is parsed again only when it was changed."""
    file = clients_folder() / client / "client.yaml"
    kept: tuple[tuple[int, int], ClientConfig] | None = None

    def read() -> Policy:
        nonlocal kept
        said = file.stat()
        mark = (said.st_mtime_ns, said.st_size)
        if kept is None or kept[0] != mark:
            kept = (mark, load_client(client))
        return client_policy(kept[1])

    return read


class Gates:
    """Gates of all clients, each opened when it is first asked for."""

    def __init__(self, open_one: Callable[[str], Gate] = open_gate) -> None:
        self._open, self._gates, self._turn = open_one, dict[str, Gate](), threading.Lock()

    def of(self, client: str) -> Gate:
        with self._turn:
            if client not in self._gates:
                self._gates[client] = self._open(client)
            return self._gates[client]
