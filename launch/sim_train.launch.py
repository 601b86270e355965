"""Train in simulation: simulator, guide, spiking policy and learner, in lockstep. Ends when the learner ends."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from spike_ctrl._files.errors import UsageError
from spike_ctrl.launching import argument_groups

ARGUMENTS = [
    # name, type, default, description
    ("recipe", str, "td3bc", "How to train: a name among config/recipes or a path to a YAML file."),
    ("airframe", str, "crazyflie", "The vehicle: a name among config/airframes or a path to a YAML file."),
    ("vehicles", int, "256", "Number of vehicles that fly at once."),
    ("seed", int, "0", "Seed of all random numbers of the run."),
    ("steps", int, "0", "Environment steps to train, to which all schedules are scaled; 0: those of the recipe."),
    ("run", str, "", "Folder of the run; empty: runs/RECIPE-TIME."),
    ("resume", str, "", "Folder of an earlier run to continue, with its arguments; empty: a new run."),
    ("start_from", str, "", "Checkpoint with the first weights of a new run, for fine-tuning; empty: random weights."),
    ("realtime", bool, "false", "One control step every 10 ms, instead of as fast as all nodes answer."),
    ("record", bool, "false", "Also record the topics of the graph to a bag."),
    ("bag", str, "", "Folder of the bag; empty: bags/TIME."),
    ("topics", str, "", "Topics to record, separated by spaces; empty: those of spike_ctrl; all: every topic."),
]
SIMULATOR = "recipe airframe vehicles seed resume realtime"


def when_ended(event, context):
    """A node that ends by itself ends the graph. After a kill, the nodes that miss it report it."""
    killed = event.returncode < 0 or event.returncode > 128
    return [] if killed or context.is_shutdown else [Shutdown(reason="a node has ended")]


def when_recorder_ended(event, context):
    """A recorder that cannot start ends the graph; one that fails later does not."""
    refused = event.returncode == 2 and not context.is_shutdown
    return [Shutdown(reason="the recorder refuses its parameters")] if refused else []


def from_run(context):
    """A resumed run brings its own values. This runs before the defaults are set, so that it sees only given arguments."""
    values = context.launch_configurations
    if values.get("resume"):
        from spike_ctrl.learn import resumption

        values.update(resumption.arguments(Path(values["resume"]), dict(values)))


def from_algorithm(context):
    """The standard recipe of an algorithm, where no recipe is named. A named recipe must be for that algorithm."""
    values = context.launch_configurations
    wanted = values.get("algorithm")
    if wanted and not values.get("resume"):
        from spike_ctrl.learn import recipe

        if wanted not in recipe.STANDARD:
            raise UsageError(f"algorithm: found '{wanted}', wanted one of {', '.join(recipe.STANDARD)}")
        found = recipe.find(values.setdefault("recipe", recipe.STANDARD[wanted])).algorithm
        if found != wanted:
            raise UsageError(f"recipe {values['recipe']}: algorithm: found {found}, wanted {wanted}")


def values_of(names):
    return {n: ParameterValue(LaunchConfiguration(n), value_type=t) for n, t, _, _ in ARGUMENTS if n in names.split()}


def check_run(context):
    """Refuse what the nodes would refuse, before any of them runs. A resumed run brings its own arguments."""
    from spike_ctrl import airframe
    from spike_ctrl._files import output_paths
    from spike_ctrl.learn import recipe, resumption
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_ros.declared_parameters import checked
    from spike_ctrl_ros.spin import checked_priority
    from spike_ctrl_sim import simulator_node

    def given(names):
        return {name: value.evaluate(context) for name, value in values_of(names).items()}

    values = context.launch_configurations
    if values["bag"] and values["record"] != "true":
        raise ValueError(f"bag: found '{values['bag']}', wanted only with record:=true")
    checked_priority("priority", values["priority"])
    if values["record"] == "true":
        output_paths.require_bag(Path(values["bag"] or "bags/TIME"))
    if values["resume"]:
        return
    output_paths.require_folder("run", Path(values["run"] or "runs"))
    if values["run"]:
        resumption.require_new(Path(values["run"]))
    if values.get("backend", "embedded") == "embedded":  # else a plug-in checks what moves the vehicles
        checked(simulator_node.Parameters, given(SIMULATOR))
    plan = recipe.find(values["recipe"]).with_steps(given("steps")["steps"])
    craft = airframe.load(values["airframe"])
    plan.require_fit(craft)
    if values["start_from"]:
        try:
            checkpoint.load(values["start_from"], expect={"airframe_hash": craft.hash, "action": craft.action_layout})
        except checkpoint.CheckpointError as error:
            raise ValueError(f"start_from: {error}") from None


def generate_launch_description():
    def node(kind, package, executable, names, fixed=None, on_exit=when_ended, **options):
        return kind(
            package=package,
            executable=executable,
            name=executable,
            parameters=[values_of(names) | (fixed or {})],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
            on_exit=on_exit,
            **options,
        )

    priority = {"SPIKE_CTRL_PRIORITY": LaunchConfiguration("priority")}

    def vehicles(context):
        moved = argument_groups.step(groups, "vehicles")(context)
        return moved or [node(Node, "spike_ctrl_sim", "simulator", SIMULATOR, additional_env=priority)]

    groups = argument_groups.of("sim_train")
    return LaunchDescription(
        [
            OpaqueFunction(function=from_run),
            OpaqueFunction(function=from_algorithm),
            OpaqueFunction(function=argument_groups.step(groups, "prepare")),
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in ARGUMENTS),
            DeclareLaunchArgument(
                "algorithm",
                default_value="",
                description="Train by the standard recipe of an algorithm: td3bc or model_gradient.",
            ),
            *argument_groups.declarations(groups),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error"],
                description="The least severe messages that nodes print.",
            ),
            DeclareLaunchArgument(
                "priority",
                default_value="0",
                description="With realtime: SCHED_FIFO priority of the nodes from state to command, 1 to 99; 0: ordinary.",
            ),
            OpaqueFunction(function=check_run),
            OpaqueFunction(function=argument_groups.step(groups, "check")),
            OpaqueFunction(function=argument_groups.step(groups, "first")),
            node(  # the first node to start is the last to end, so it records what the others publish at their end
                Node,
                "spike_ctrl_record",
                "recorder",
                "bag topics",
                on_exit=when_recorder_ended,
                condition=IfCondition(LaunchConfiguration("record")),
            ),
            OpaqueFunction(function=vehicles),
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
                "recipe airframe vehicles seed steps run resume start_from",
                sigterm_timeout="20",  # s, in which it saves a run that can be resumed
            ),
            OpaqueFunction(function=argument_groups.step(groups, "last")),
        ]
    )
