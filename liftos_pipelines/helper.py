"""A second process beside a run, so that a cold start uses two cores: it imports what is slow and answers calls.

`call(function, ...)` does the same with and without a helper. Without one (plain `dg launch`, the daemon, a start
that failed, a helper that died) the function runs here. No import of Dagster: the helper must be quick itself.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from liftos_pipelines import settings

SUITES = "liftos_pipelines.checks.evaluation:prepare"
"""To get ready: Great Expectations, for sources."""
TRACKING = "liftos_pipelines.resources.mlflow_store:prepare"
"""To get ready: MLflow and its store's schema, for a fit."""
T = TypeVar("T")
PAUSE = 0.2
"""Seconds without a call after which the helper goes on preparing."""
PREPARE = 0
LEAVE = 15.0
"""Seconds that an orderly end waits for what the helper has begun."""


class HelperLost(RuntimeError):
    """The helper process ended before it answered."""


class Helper:
    """The helper process. `prepare` are functions without arguments, `module:function`, done while nobody calls."""

    def __init__(self, prepare: Sequence[str]) -> None:
        self.meanwhile: list[str] = []
        self._answers: dict[int, tuple[bool, Any]] = {}
        self._asked = 0
        self._pipe, theirs = Pipe()
        try:
            # A session of its own: Ctrl-C reaches the run, which decides; the helper ends with its pipe.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "liftos_pipelines.helper", str(theirs.fileno()), *prepare],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            theirs.close()

    def ask(self, function: Callable[..., Any], *arguments: Any) -> int:
        """Send a call; `answer` takes the number. Function and arguments must be picklable."""
        self._asked += 1
        self._send(self._asked, (function, arguments))
        return self._asked

    def prepare(self, functions: Sequence[str]) -> None:
        """Have more prepared, `module:function` each, when nobody calls."""
        self._send(PREPARE, list(functions))

    def _send(self, number: int, content: Any) -> None:
        # Packed twice, so that a call that cannot be read there still has its number to be refused by.
        message = pickle.dumps((number, pickle.dumps(content)))
        try:
            self._pipe.send_bytes(message)
        except OSError as error:
            raise HelperLost(str(error)) from error

    def answer(self, number: int) -> Any:
        """Wait for the answer of a call, importing what stands in `meanwhile`; raises what the function raised."""
        while number not in self._answers:
            try:
                waiting = not self._pipe.poll()
                if waiting and self.meanwhile:
                    with suppress(ImportError):  # whoever needs it will say so
                        importlib.import_module(self.meanwhile.pop(0))
                    continue
                message = self._pipe.recv_bytes()
            except (EOFError, OSError) as error:
                raise HelperLost(f"exit code {self.process.poll()}") from error
            known, done, value = pickle.loads(message)
            self._answers[known] = (done, value)
        done, value = self._answers.pop(number)
        if done:
            return value
        raised, trace = value
        raise raised from RuntimeError(f"in the helper process:\n{trace}")

    def close(self, wait: bool = True) -> None:
        """Let go of the helper: it ends by itself, a step in hand (such as a schema's migration) completed."""
        self._pipe.close()
        if wait:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=LEAVE)


_current: Helper | None = None


@contextmanager
def helping(prepare: Sequence[str]) -> Iterator[Helper | None]:
    """A helper for the calls made inside; None where it cannot be started."""
    global _current
    helper = None
    try:
        helper = Helper(prepare) if prepare else None
    except OSError as error:
        logging.getLogger(__name__).warning("no helper process (%s): everything runs in this one", error)
    _current, orderly = helper, False
    try:
        yield helper
        orderly = True
    finally:
        _current = None
        if helper is not None:
            helper.close(wait=orderly)


def submit(function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
    """Begin a call in the helper; calling what is returned waits for its result. Runs here when there is no helper.

    A helper that dies is told in the log, and the function is called once more, here.
    """
    helper = _current
    if helper is None:
        result = function(*arguments)
        return lambda: result
    try:
        number = helper.ask(function, *arguments)
    except HelperLost as error:
        result = _alone(error, function, *arguments)
        return lambda: result

    def wait() -> T:
        try:
            return helper.answer(number)  # type: ignore[no-any-return]
        except HelperLost as error:
            return _alone(error, function, *arguments)

    return wait


def call(function: Callable[..., T], *arguments: Any) -> T:
    """`function(*arguments)`, by the helper where there is one."""
    return submit(function, *arguments)()


def _alone(error: HelperLost, function: Callable[..., T], *arguments: Any) -> T:
    global _current
    _current = None
    logging.getLogger(__name__).warning("the helper process is gone (%s): going on without it", error)
    return function(*arguments)


def foresee(*, prepare: Sequence[str] = (), imports: Sequence[str] = ()) -> None:
    """Say what will be needed: the helper prepares it when it is idle, this process imports while it waits."""
    if _current is not None:
        with suppress(HelperLost):  # the next call says so
            _current.prepare(prepare)
        _current.meanwhile = [module for module in imports if module not in sys.modules]


def serve(pipe: Connection, prepare: Sequence[str]) -> None:
    """The helper's life: answer calls in their order, prepare in the pauses, end when the caller's end closes."""
    pending, pause = list(prepare), 0.0
    while True:
        try:
            if pending and not pipe.poll(pause):
                module, _, function = pending.pop(0).partition(":")
                # What cannot be prepared is told to the one who calls it.
                with suppress(Exception):
                    getattr(importlib.import_module(module), function)()
                continue
            number, content = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        if number == PREPARE:
            pending += pickle.loads(content)
            continue
        pause = PAUSE  # calls come in groups
        try:
            function, arguments = pickle.loads(content)
            answer = pickle.dumps((number, True, function(*arguments)))
        except Exception as error:
            answer = pickle.dumps((number, False, (_portable(error), traceback.format_exc())))
        with suppress(OSError):
            pipe.send_bytes(answer)


def _portable(error: Exception) -> Exception:
    """The error itself where it survives the way, else its name and message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    settings.ease_imports()
    serve(Connection(int(sys.argv[1])), sys.argv[2:])
    # Nothing is left to write, and taking a thousand modules apart takes more than a second.
    os._exit(0)


if __name__ == "__main__":
    main()
