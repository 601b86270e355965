"""Gazebo's server with our world: started before PX4, which takes a world that runs, and ended after it.

PX4's start script would set PX4_GZ_MODELS and PX4_GZ_WORLDS to its own folders before it started a world itself.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from spike_ctrl._files.errors import UsageError

SECONDS = 60.0  # until the world must be heard
GRACE = 10.0  # s, to end by itself


def environment(given: Mapping[str, str], window: bool) -> dict[str, str]:
    """Gazebo's variables: it talks on this computer only, unless GZ_IP says otherwise; PX4 opens no window of its own."""
    return {"GZ_IP": given.get("GZ_IP", "127.0.0.1")} | ({} if window else {"HEADLESS": "1"})


@contextlib.contextmanager
def running(world: Path, variables: Mapping[str, str], window: bool) -> Iterator[None]:
    """The world of that file runs, and its window where one is wanted. Raises UsageError where it does not come up."""
    around = os.environ | dict(variables)
    _require_none(around)
    commands = [["gz", "sim", "-s", "-r", str(world)], *([["gz", "sim", "-g"]] if window else [])]
    processes = [subprocess.Popen(command, env=around, start_new_session=True) for command in commands]
    try:
        _await(f"/world/{world.stem}/clock", processes[0], around)
        yield
    finally:
        for process in processes:
            end(process)


def end(process: subprocess.Popen) -> None:
    """End a process and all that it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            process.poll()  # else it stays as a zombie, which counts as alive
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _topics(around: Mapping[str, str]) -> list[str]:
    listed = subprocess.run(["gz", "topic", "-l"], env=around, capture_output=True, text=True)
    return listed.stdout.split()


def _require_none(around: Mapping[str, str]) -> None:
    found = next(
        (topic.split("/")[2] for topic in _topics(around) if topic.startswith("/world/") and topic.endswith("/clock")), ""
    )
    if found:
        raise UsageError(
            f"gazebo: found the world {found} running already, wanted none: PX4 takes whichever it finds; end it"
        )


def _await(topic: str, server: subprocess.Popen, around: Mapping[str, str]) -> None:
    until = time.monotonic() + SECONDS
    while topic not in _topics(around):
        if server.poll() is not None:
            raise UsageError(f"gazebo: its server has ended with exit code {server.returncode}; its own lines above say why")
        if time.monotonic() > until:
            raise UsageError(f"gazebo: no {topic} within {SECONDS:g} s; is another GZ_PARTITION or GZ_IP set?")
        time.sleep(0.2)
