"""The small runner for launch files, with tiny programs instead of nodes.

- typed parameters, remappings, names and the environment arrive at the process
- conditions, on_exit rules and event handlers decide what runs
- Ctrl-C stops in reverse order, escalates after the grace period, waits for nodes of ours that start; a second one kills
- whatever is unknown is refused by name, before anything starts
"""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import yaml

from spike_ctrl import launching
from spike_ctrl.launching.process import Process
from spike_ctrl.launching.runner import ExitCodes

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


STARTS = """
import signal, time
print('starting', flush=True)
time.sleep(0.5)
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
time.sleep(60)
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


def read_until(process, wanted: str, seconds: float = 10.0) -> list[str]:
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


def test_parameters_arrive_with_their_types(launch, program, prefix):
    program("copies", f"import shutil, sys; shutil.copy(sys.argv[-1], {str(prefix / 'got')!r})")
    code = launch(
        """
        return LaunchDescription([
            DeclareLaunchArgument('count', default_value='3'),
            DeclareLaunchArgument('digits', default_value='007'),
            DeclareLaunchArgument('nothing', default_value=''),
            Node(package='toy', executable='copies', parameters=[{
                'number': LaunchConfiguration('count'),
                'seconds': ParameterValue(LaunchConfiguration('count'), value_type=float),
                'small': ParameterValue('1e-3', value_type=float),
                'name': ParameterValue(LaunchConfiguration('digits'), value_type=str),
                'literal': '42', 'flag': True, 'mixed': [1, 2.5],
                'joined': ['run_', LaunchConfiguration('count')],
                'empty': LaunchConfiguration('nothing'),
                'nested': {'inner': 'off'},
            }]),
        ])
        """
    )
    assert code == 0
    assert yaml.safe_load((prefix / "got").read_text())["/**"]["ros__parameters"] == {
        "number": 3,
        "seconds": 3.0,
        "small": 0.001,
        "name": "007",
        "literal": "42",
        "flag": True,
        "mixed": [1.0, 2.5],
        "joined": "run_3",
        "empty": "",
        "nested": {"inner": "off"},
    }


def test_a_parameter_of_the_wrong_type_is_refused_by_name(launch, program, capfd):
    body = """
        seed = ParameterValue(LaunchConfiguration('seed'), value_type=int)
        return LaunchDescription([
            DeclareLaunchArgument('seed', default_value='0'),
            Node(package='toy', executable='ends', name='learner', parameters=[{'seed': seed}]),
        ])
        """
    assert launch(body, "seed:=many") == 2
    assert "node learner, parameter 'seed': found 'many', wanted int" in capfd.readouterr().err


def test_name_namespace_remapping_arguments_and_environment_arrive(launch, program, capfd):
    program("shows", "import os, sys; print(*sys.argv[1:], os.environ['COLOUR'], os.environ['SHAPE'])")
    body = """
        return LaunchDescription([
            SetEnvironmentVariable('COLOUR', 'green'),
            Node(package='toy', executable='shows', name='n', namespace='left', remappings=[('a', 'b')],
                 arguments=['--fast'], additional_env={'SHAPE': 'round'}),
        ])
        """
    assert launch(body) == 0
    assert "[left/n] --fast --ros-args -r __node:=n -r __ns:=/left -r a:=b green round\n" in capfd.readouterr().out


def test_a_launch_file_can_look_at_a_typed_value_before_a_node_starts(launch, program, capfd):
    body = """
        def look(context):
            value = ParameterValue(LaunchConfiguration('rate'), value_type=float).evaluate(context)
            return [LogInfo(msg=f'{value * 2}')]
        return LaunchDescription([
            DeclareLaunchArgument('rate', default_value='1e1'), OpaqueFunction(function=look),
            Node(package='toy', executable='ends'),
        ])
        """
    assert launch(body) == 0
    assert capfd.readouterr().out.splitlines() == ["[launch] 20.0", "[ends] ends"]
    assert launch(body, "rate:=fast") == 2
    shown = capfd.readouterr()
    assert shown.err.endswith("the value of rate: found 'fast', wanted float\n") and not shown.out


def test_a_condition_decides_whether_a_node_starts(launch, program, capfd):
    body = """
        wanted = PythonExpression(["'", LaunchConfiguration('who'), "' == 'b'"])
        return LaunchDescription([
            DeclareLaunchArgument('who', default_value='a', choices=['a', 'b']),
            Node(package='toy', executable='ends', name='b', condition=IfCondition(wanted)),
            Node(package='toy', executable='ends', name='other', condition=UnlessCondition(wanted)),
        ])
        """
    assert launch(body) == 0
    assert launch(body, "who:=b") == 0
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines()] == ["[other]", "[b]"]


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


def test_what_is_no_node_is_started_as_it_is_written(launch, prefix, capfd):
    body = """
        code = "import os, sys; print(sys.argv[1:], os.environ['A'])"
        words = [sys.executable, "-S", "-c", code, TextSubstitution(text="b")]
        ended = lambda event, context: [LogInfo(msg=f"code {event.returncode}, stopping {context.is_shutdown}")]
        return LaunchDescription([ExecuteProcess(cmd=words, name="toy", additional_env={"A": "a"}, on_exit=ended)])
    """
    assert launch(f"import sys\n{textwrap.dedent(body)}") == 0
    shown = capfd.readouterr().out
    assert "[toy] ['b'] a" in shown and "code 0, stopping False" in shown
    assert launch("return LaunchDescription([ExecuteProcess(cmd=[])])") == 2


@pytest.mark.parametrize(
    "ends, wanted",
    [
        ([(0, False), (1, True)], 0),  # one that ended well has asked for the shutdown
        ([(1, False), (2, True)], 1),
        ([(-15, True), (-2, True)], 0),  # ended by request
        ([(-9, False)], 137),
        ([(3, True)], 3),
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
    assert process.wait(10) == 0
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
    assert process.wait(10) == 0
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
    assert process.wait(10) == 0
    assert time.monotonic() - begin > 0.3
    assert "ignores does not end: SIGTERM" in process.stdout.read()


def test_a_second_ctrl_c_kills_at_once(background, program):
    process = background("return LaunchDescription([Node(package='toy', executable='ignores')])")
    read_until(process, "waiting")
    process.send_signal(signal.SIGINT)
    read_until(process, "stopping")
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 128 + signal.SIGKILL


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


def until(condition, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("from launch.actions import TimerAction", "launch.actions.TimerAction is not supported by this runner"),
        ("import launch_ros.descriptions", "launch_ros.descriptions is not supported by this runner"),
        ("return LaunchDescription([Node(executable='ends', respawn=True)])", "Node(respawn=...) is not supported"),
        ("return LaunchDescription([Node(package='toy', executable='ghost')])", "has no executable 'ghost'; searched"),
        ("return LaunchDescription([Node(executable='ends', parameters=['a.yaml'])])", "a.yaml does not exist"),
        ("return LaunchDescription([LogInfo(msg=LaunchConfiguration('x'))])", "no such argument is declared"),
        ("return 1 / 0", "toy.launch.py:13: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_in_a_launch_file_is_refused_by_name(launch, program, capfd, body, wanted):
    assert launch(body) == 2
    error = capfd.readouterr().err
    assert wanted in error
    assert error.count("\n") == 1


ARGUMENTS = """
    return LaunchDescription([
        DeclareLaunchArgument('vehicles', default_value='256', description='How many fly.'),
        DeclareLaunchArgument('recipe', default_value='td3bc', choices=['paper', 'td3bc']),
        DeclareLaunchArgument('bag', description='What to replay.'),
    ])
    """


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("vehicle:=3", "unknown argument 'vehicle'; did you mean 'vehicles'? valid: bag, recipe, vehicles"),
        ("vehicles=3", "malformed argument 'vehicles=3': wanted NAME:=VALUE"),
        ("recipe:=ppo", "argument 'recipe': found 'ppo', wanted one of: paper, td3bc"),
        ("vehicles:=3", "argument 'bag' is required: bag:=VALUE (What to replay.)"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(launch, capfd, argument, wanted):
    assert launch(ARGUMENTS, argument) == 2
    assert capfd.readouterr().err == f"launch: {wanted}\n"


def test_show_args_lists_defaults_choices_and_descriptions(launch, capfd):
    assert launch(ARGUMENTS, show_args=True) == 0
    out = capfd.readouterr().out
    assert "vehicles:=  (default '256')\n      How many fly." in out
    assert "recipe:=  (default 'td3bc'; one of: paper, td3bc)" in out
    assert "bag:=  (required)" in out


def test_the_stand_in_modules_are_gone_after_the_launch(launch):
    assert launch("return LaunchDescription([])") == 0
    assert not [name for name in sys.modules if name.partition(".")[0] in ("launch", "launch_ros")]
