"""Train in simulation: simulator, guide, spiking policy and learner, in lockstep. Ends when the learner ends."""

import importlib.util
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    # name, type, default, description
    ("recipe", str, "td3bc", "How to train: a name among config/recipes or a path to a YAML file."),
    ("airframe", str, "crazyflie", "What flies: a name among config/airframes or a path to a YAML file."),
    ("vehicles", int, "256", "How many fly at once; each message carries all of them."),
    ("seed", int, "0", "Of all random numbers of the run."),
    ("steps", int, "0", "Environment steps to train, all schedules stretch with it; 0: as many as the recipe says."),
    ("run", str, "", "Folder for results; empty: runs/RECIPE-TIME."),
    ("resume", str, "", "Folder of an earlier run to go on with, with all it was started with; empty: start anew."),
    ("realtime", bool, "false", "One control step each 10 ms instead of as fast as all answer."),
    ("record", bool, "false", "Also record the topics of the graph to a bag."),
    ("bag", str, "", "Folder of the bag; empty: bags/TIME."),
    ("topics", str, "", "Names of topics to record, with spaces between them; empty: those of spike_ctrl; all: every one."),
]


def when_ended(event, context):
    """A node that ends by itself takes the graph with it. One that is killed does not: who misses it will say so."""
    killed = event.returncode < 0 or event.returncode > 128
    return [] if killed else [Shutdown(reason="a node has ended")]


def when_recorder_ended(event, context):
    """What cannot be recorded from the start ends the graph; a recorder that fails later does not."""
    return [Shutdown(reason="the recorder refuses its parameters")] if event.returncode == 2 else []


def from_run(context):
    """A resumed run brings its own values. Runs before the defaults are set, so that it sees what was given and no more."""
    values = context.launch_configurations
    if values.get("resume"):
        from spike_ctrl.learn import earlier

        values.update(earlier.arguments(Path(values["resume"]), dict(values)))


def from_algorithm(context):
    """The recipe of an algorithm, where no recipe is named; one that is named must be for it."""
    values = context.launch_configurations
    wanted = values.get("algorithm")
    if wanted and not values.get("resume"):
        from spike_ctrl.learn import recipe

        if wanted not in recipe.STANDARD:
            raise recipe.RecipeError(f"algorithm: found '{wanted}', wanted one of {', '.join(recipe.STANDARD)}")
        found = recipe.find(values.setdefault("recipe", recipe.STANDARD[wanted])).algorithm
        if found != wanted:
            raise recipe.RecipeError(f"recipe {values['recipe']}: algorithm: found {found}, wanted {wanted}")


def viewer(context):
    """The node that shows the graph: last, for nobody waits for it."""
    if context.launch_configurations["viewer"] == "none":
        return []
    if importlib.util.find_spec("rerun") is None:
        raise ValueError("viewer:=rerun: the package rerun-sdk is missing: pip install rerun-sdk")
    return [Node(package="spike_ctrl_view", executable="viewer", name="viewer", output="screen")]


def generate_launch_description():
    def node(kind, package, executable, names, fixed=None, on_exit=when_ended, **options):
        values = {n: ParameterValue(LaunchConfiguration(n), value_type=t) for n, t, _, _ in ARGUMENTS if n in names.split()}
        return kind(
            package=package,
            executable=executable,
            name=executable,
            parameters=[values | (fixed or {})],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
            on_exit=on_exit,
            **options,
        )

    priority = {"SPIKE_CTRL_PRIORITY": LaunchConfiguration("priority")}
    return LaunchDescription(
        [
            OpaqueFunction(function=from_run),
            OpaqueFunction(function=from_algorithm),
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in ARGUMENTS),
            DeclareLaunchArgument(
                "algorithm",
                default_value="",
                description="How to train, by the standard recipe of an algorithm: td3bc or model_gradient.",
            ),
            DeclareLaunchArgument(
                "viewer",
                default_value="none",
                choices=["none", "rerun"],
                description="rerun: also show the graph in 3-D in a browser; needs the package rerun-sdk.",
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error"],
                description="The least severe messages that nodes print.",
            ),
            DeclareLaunchArgument(
                "priority",
                default_value="0",
                description="For realtime: SCHED_FIFO priority of the nodes from state to command, 1 to 99; 0: ordinary.",
            ),
            node(  # first: what starts first ends last, and hears what the others say at their end
                Node,
                "spike_ctrl_record",
                "recorder",
                "bag topics",
                on_exit=when_recorder_ended,
                condition=IfCondition(LaunchConfiguration("record")),
            ),
            node(
                Node,
                "spike_ctrl_sim",
                "simulator",
                "recipe airframe vehicles seed resume realtime",
                additional_env=priority,
            ),
            node(Node, "spike_ctrl_guide", "guide_policy", "recipe airframe", additional_env=priority),
            node(
                LifecycleNode,
                "spike_ctrl_policy",
                "snn_policy",
                "airframe realtime",
                {"autostart": True},
                namespace="",
                additional_env=priority,
            ),
            node(
                Node,
                "spike_ctrl_learner",
                "learner",
                "recipe airframe vehicles seed steps run resume",
                sigterm_timeout="20",  # s: it saves a run that can be resumed
            ),
            OpaqueFunction(function=viewer),
        ]
    )
