"""How the launcher, the supervisor and its workers talk: one JSON object a line over a local Unix socket.

No import of Dagster: the launcher is loaded by the web server, the daemon and every command.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from liftos_pipelines import settings

SOCKET_PATH_LIMIT = 100
"""A Unix socket's path may have 107 bytes; some systems allow fewer."""
REACTOR_TAG = "liftos/reactor"
"""Run tag: which start of the reactor took the run."""
STEP_TIMEOUT_TAG = "liftos/step_timeout_seconds"
"""Run or asset tag: seconds after which one step is interrupted."""
Message = dict[str, Any]


class ReactorUnreachable(ConnectionError):
    """No reactor answers at the socket."""


def reactor_folder() -> Path:
    return settings.home() / "dagster"


def socket_path() -> Path:
    """Where the reactor of this home listens: in the home, or in a private temporary folder when that is too long."""
    path = reactor_folder() / "reactor.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(reactor_folder())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"liftos-{os.getuid()}" / f"{digest}.sock"


def prepare_socket_folder(path: Path) -> None:
    """Make the socket's folder; one of our own making is private.

    Raises
    ------
    PermissionError : the temporary folder belongs to somebody else
    """
    if path.parent == reactor_folder():
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path.parent} is not a private folder of this user; remove it or shorten LIFTOS_HOME")


def ask(message: Message, *, timeout: float = 5.0, path: Path | None = None) -> Message:
    """Send one request to the reactor and return its answer.

    Raises
    ------
    ReactorUnreachable : nobody listens, or no answer within `timeout` seconds
    """
    where = path or socket_path()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(os.fspath(where))
            connection.sendall(encode(message))
            reader = Lines()
            while True:
                received = connection.recv(65536)
                if not received:
                    raise ReactorUnreachable(f"the reactor at {where} closed the connection without an answer")
                for answer in reader.feed(received):
                    return answer
    except (OSError, ValueError) as error:
        if isinstance(error, ReactorUnreachable):
            raise
        raise ReactorUnreachable(f"no reactor answers at {where}: {error}") from error


def set_up_log() -> None:
    """Lines with their time on the process's own output; libraries speak from warnings on."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("liftos").setLevel(logging.INFO)


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Puts messages together from what a socket hands over in pieces."""

    LONGEST = 4 * 1024 * 1024

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[Message]:
        """Messages completed by these bytes.

        Raises
        ------
        ValueError : a line that is not a JSON object, or too long a one
        """
        *complete, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > self.LONGEST:
            raise ValueError(f"a message of more than {self.LONGEST} bytes")
        messages = [json.loads(line) for line in complete if line.strip()]
        for message in messages:
            if not isinstance(message, dict):
                raise ValueError(f"not a message: {message!r:.80}")
        return messages
