"""The small runner for launch files, with tiny programs instead of nodes.

- typed parameters, remappings, names and the environment arrive at the process
- conditions decide what runs
- whatever is unknown is refused by name, before anything starts
"""

import sys
import textwrap

import pytest
import yaml


@pytest.mark.installed
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
