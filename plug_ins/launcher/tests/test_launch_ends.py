"""How a launch ends, and its processes.

- on_exit rules and event handlers decide what ends and what runs on; a failure gives the exit code
- Ctrl-C stops in reverse order, escalates after the grace period, waits for nodes of ours that start; a second one kills
- what a process started ends with it
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from spike_ctrl.launching.launch_file import ExitCodes
from spike_ctrl_launcher.process import Process

STARTS = """
import signal, time
print('starting', flush=True)
time.sleep(0.5)
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
time.sleep(60)
"""


def read_until(process, wanted: str, seconds: float = 40.0) -> list[str]:
    """Lines up to and with the wanted one."""
    deadline = threading.Timer(seconds, process.kill)
    deadline.start()
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if wanted in line:
            deadline.cancel()
            return lines
    deadline.cancel()
    raise AssertionError(f"no line with {wanted!r} within {seconds} s; found {lines}")


def test_the_end_of_one_process_stops_the_others(launch, program, capfd):
    program("reads", "import sys; sys.exit(0)")
    body = """
        return LaunchDescription([
            Node(package='toy', executable='ignores', sigterm_timeout='0.2'),
            Node(package='toy', executable='reads', name='learner', on_exit=Shutdown(reason='training has ended')),
        ])
        """
    assert launch(body) == 0
    assert "[launch] stopping: training has ended" in capfd.readouterr().out


def test_a_failure_leaves_the_others_running_and_gives_the_exit_code(launch, program, capfd):
    program("late", "import sys; print('still here'); sys.exit(0)")
    body = """
        first = Node(package='toy', executable='fails')
        return LaunchDescription([
            first,
            RegisterEventHandler(OnProcessExit(target_action=first, on_exit=[
                LogInfo(msg='it failed'), Node(package='toy', executable='late')])),
        ])
        """
    assert launch(body) == 3
    assert capfd.readouterr().out.splitlines() == [
        "[launch] fails failed with exit code 3",
        "[launch] it failed",
        "[late] still here",
    ]


@pytest.mark.parametrize(
    "ends, wanted",
    [
        ([(0, False), (1, True)], 0),  # one that ended well has asked for the shutdown
        ([(1, False), (2, True)], 1),
        ([(-15, True), (-2, True)], 0),  # ended by request
        ([(-9, False)], 137),
        ([(3, True)], 3),
        ([(0, False), (74, True)], 74),  # the recorder lost its bag, in a flight that ended well
    ],
)
def test_with_ros_own_launch_the_exit_code_is_that_of_the_first_failure(ends, wanted):
    codes = ExitCodes()
    for code, stopping in ends:
        codes.add(code, stopping)
    assert codes.code == wanted


def test_ctrl_c_stops_all_and_ends_well(background, program):
    process = background(
        """
        return LaunchDescription([Node(package='toy', executable='waits', name=name) for name in ('first', 'last')])
        """
    )
    read_until(process, "waiting")
    read_until(process, "waiting")
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    stopping, *ends = process.stdout.read().splitlines()
    assert stopping == "[launch] stopping: SIGINT"
    assert sorted(ends) == ["[first] interrupted", "[last] interrupted"]


def test_ctrl_c_waits_for_a_node_of_ours_that_has_only_just_started(background, prefix):
    node = prefix / "lib" / "spike_ctrl_toy" / "node"
    node.parent.mkdir()
    node.write_text(f"#!{sys.executable} -S\n{STARTS}")
    node.chmod(0o755)
    process = background("return LaunchDescription([Node(package='spike_ctrl_toy', executable='node')])")
    read_until(process, "starting")
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    assert process.stdout.read().splitlines() == ["[launch] stopping: SIGINT"]


def test_processes_are_stopped_last_started_first(launch, program, monkeypatch):
    interrupt, order = Process.interrupt, []
    monkeypatch.setattr(Process, "interrupt", lambda self, now: (order.append(self.command.name), interrupt(self, now)))
    body = """
        return LaunchDescription([
            *(Node(package='toy', executable='waits', name=name) for name in ('first', 'second')),
            Node(package='toy', executable='ends', on_exit=Shutdown()),
        ])
        """
    assert launch(body) == 0
    assert order == ["second", "first"]


def test_a_process_that_ignores_sigint_gets_sigterm_after_its_grace(background, program):
    process = background("return LaunchDescription([Node(package='toy', executable='ignores', sigterm_timeout='0.3')])")
    read_until(process, "waiting")
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    assert time.monotonic() - begin > 0.3
    assert "ignores does not end: SIGTERM" in process.stdout.read()


def test_a_second_ctrl_c_kills_at_once(background, program):
    process = background("return LaunchDescription([Node(package='toy', executable='ignores')])")
    read_until(process, "waiting")
    process.send_signal(signal.SIGINT)
    read_until(process, "stopping")
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 128 + signal.SIGKILL


def test_what_a_process_started_ends_with_it(launch, program, prefix):
    program(
        "leaves",
        f"""
        import subprocess
        child = subprocess.Popen(['sleep', '60'])
        open({str(prefix / "child")!r}, 'w').write(str(child.pid))
        """,
    )
    assert launch("return LaunchDescription([Node(package='toy', executable='leaves')])") == 0
    child = Path("/proc") / (prefix / "child").read_text()
    assert until(lambda: not child.exists() or "State:\tZ" in (child / "status").read_text())


def until(condition, seconds: float = 40.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True
