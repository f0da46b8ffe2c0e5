"""Messages over the socket, and which run comes next."""

import os
import socket
import threading
from pathlib import Path

import pytest

from liftos_pipelines.reactor.fingerprint import fingerprint
from liftos_pipelines.reactor.protocol import (
    SOCKET_PATH_LIMIT,
    Lines,
    ReactorUnreachable,
    ask,
    encode,
    prepare_socket_folder,
    socket_path,
)
from liftos_pipelines.reactor.waiting import Waiting


def run(name: str, client: str | None = None, priority: int = 0, reaction: str | None = None) -> dict[str, object]:
    return {"run_id": name, "arguments": "", "client": client, "priority": priority, "reaction": reaction}


def test_messages_survive_being_cut_anywhere() -> None:
    sent = [{"do": "launch", "text": "é\n"}, {"do": "status"}]
    wire = b"".join(encode(message) for message in sent)
    for cut in range(len(wire)):
        reader = Lines()
        assert reader.feed(wire[:cut]) + reader.feed(wire[cut:]) == sent


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError):
        Lines().feed(b"[1]\n")
    with pytest.raises(ValueError):
        Lines().feed(b"nonsense\n")


def test_a_long_home_gets_a_private_short_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFTOS_HOME", str(tmp_path / ("long" * 30)))
    monkeypatch.setenv("TMPDIR", "/tmp")
    path = socket_path()
    assert len(os.fsencode(path)) <= SOCKET_PATH_LIMIT
    prepare_socket_folder(path)
    assert path.parent.stat().st_mode & 0o077 == 0


def test_nobody_there_a_stale_file_and_a_silent_one_are_all_unreachable(tmp_path: Path) -> None:
    with pytest.raises(ReactorUnreachable):
        ask({"do": "status"}, path=tmp_path / "none.sock")
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(stale))
    with pytest.raises(ReactorUnreachable):
        ask({"do": "status"}, path=stale)
    silent = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(silent))
        listener.listen()
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with pytest.raises(ReactorUnreachable):
            ask({"do": "status"}, path=silent, timeout=1)
        thread.join()


def test_reactions_come_first_then_priority_then_arrival_and_a_clients_runs_take_turns() -> None:
    waiting = Waiting(limit=5)
    assert all(
        waiting.add(each)
        for each in (
            run("batch", "acme"),
            run("urgent", "acme", 5),
            run("other", "bolt"),
            run("reaction", "acme", 10, "memory/items"),
        )
    )
    assert waiting.add(run("last"))
    assert not waiting.add(run("one too many"))

    def take(*busy: str) -> str | None:
        found = waiting.next(busy=busy, of_a_client=1)
        return None if found is None else found.run_id

    assert take("acme") == "reaction"
    assert take("acme") == "other"
    assert take("acme") == "last"
    assert take("acme") is None
    assert take() == "urgent"
    assert waiting.remove("batch") is not None
    assert waiting.remove("batch") is None


def test_a_fingerprint_follows_code_and_not_caches(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    first = fingerprint((tmp_path,))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    assert fingerprint((tmp_path,)) == first
    (tmp_path / "a.py").write_text("x = 22")
    assert fingerprint((tmp_path,)) != first
