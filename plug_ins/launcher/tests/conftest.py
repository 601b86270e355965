"""A launch file with tiny programs instead of nodes, in this process or one of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from spike_ctrl import launching

HEADER = """
from launch import LaunchDescription
from launch.actions import *
from launch.conditions import *
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown as ShutdownEvent
from launch.substitutions import *
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
"""


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An installation with executables of the package `toy`, added by `program`."""
    (tmp_path / "lib" / "toy").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def program(prefix):
    def add(name: str, body: str) -> None:
        path = prefix / "lib" / "toy" / name
        path.write_text(f"#!{sys.executable} -S\n{textwrap.dedent(body)}")
        path.chmod(0o755)

    add("ends", "import sys; print('ends', *sys.argv[1:])")
    add("fails", "import sys; sys.exit(3)")
    add("waits", WAITS)
    add("ignores", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + textwrap.dedent(WAITS))
    return add


WAITS = """
import signal, sys
def interrupted(*_):
    print('interrupted', flush=True)
    sys.exit(0)
if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, interrupted)
print('waiting', flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def launch(prefix):
    """Run a launch file with this body in this process. Gives the exit code."""

    def run(body: str, *arguments: str, **options) -> int:
        return launching.run(launch_file(prefix, body), list(arguments), **options)

    return run


def launch_file(prefix: Path, body: str) -> Path:
    file = prefix / "toy.launch.py"
    body = textwrap.indent(textwrap.dedent(body), "    ")
    file.write_text(f"{HEADER}\ndef generate_launch_description():\n{body}")
    return file


@pytest.fixture
def background(prefix):
    """Start a launch in a process of its own. Gives the process and a function that waits for a line of its output."""
    started = []

    def start(body: str):
        command = "import sys; from pathlib import Path; from spike_ctrl import launching; "
        command += "sys.exit(launching.run(Path(sys.argv[1]), []))"
        process = subprocess.Popen(
            [sys.executable, "-c", command, str(launch_file(prefix, body))], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
