"""A process that a test starts, with all that it printed."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path


def executable(name: str) -> Path:
    """Where a command or node of ours is installed: beside Python (pip), or by colcon on PATH or in lib/PACKAGE."""
    prefixes = map(Path, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    places = [Path(sys.executable).parent / name, *(place for p in prefixes for place in p.glob(f"lib/*/{name}"))]
    found = next((place for place in places if place.is_file()), shutil.which(name))
    if found is None:
        raise FileNotFoundError(f"{name}: neither beside {sys.executable} nor in AMENT_PREFIX_PATH nor on PATH")
    return Path(found)


class Output:
    """The process has a session of its own, so that it is ended with its children."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **options
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)


def children(pid: int) -> list[int]:
    """The ids of the processes that a process has started; none where it has ended."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []
