"""Train in simulation: simulator, guide, spiking policy and learner, in lockstep. Ends when the learner ends.

backend:=px4 trains one vehicle that flies on a PX4 instead, in real time or as fast as its simulation runs.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

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
PX4_ARGUMENTS = [
    ("connection", str, "udpin:127.0.0.1:14540", "With backend:=px4: udpin:HOST:PORT, udpout:HOST:PORT or serial:DEV:BAUD."),
    ("system", int, "1", "With backend:=px4: the autopilot's MAV_SYS_ID; PX4's simulation number N has N + 1."),
    ("signing_key", str, "", "With backend:=px4: file with the key of a signed link (MAVLink 2); empty: not signed."),
    ("height", float, "5.0", "With backend:=px4: height of the middle of the room above the take-off, m."),
    ("room", float, "4.0", "With backend:=px4: distance from the middle of the room to its walls, m."),
    ("px4", str, "PX4-Autopilot", "With simulation:=sih, gazebo or hil: the folder in which PX4 was built."),
    ("speed", float, "1.0", "With simulation: factor of its time against the clock."),
]
# Arguments of the node that moves the vehicles, by backend.
VEHICLES = {
    "embedded": "recipe airframe vehicles seed resume realtime",
    "px4": "recipe airframe vehicles seed resume connection system signing_key height room",
}
# Parameters of the embedded vehicle: a failsafe that acts in time, and the wander of a tuned EKF2.
EMBEDDED = ("COM_OF_LOSS_T=0.2", "COM_OBL_RC_ACT=4", "EKF2_ACC_NOISE=1.0", "EKF2_GYR_NOISE=0.1")
SPIKE_CTRL = [sys.executable, "-m", "spike_ctrl.cli.main"]  # of this installation, whatever the PATH says
RESTARTS = 3  # of a simulation whose vehicle lies on its side
PX4_DEFAULTS = {"recipe": "px4", "airframe": "sih_quadx", "vehicles": "1"}


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
            raise recipe.RecipeError(f"algorithm: found '{wanted}', wanted one of {', '.join(recipe.STANDARD)}")
        found = recipe.find(values.setdefault("recipe", recipe.STANDARD[wanted])).algorithm
        if found != wanted:
            raise recipe.RecipeError(f"recipe {values['recipe']}: algorithm: found {found}, wanted {wanted}")


def from_backend(context):
    """On PX4, one vehicle of the `rates` layout flies, and the algorithm must not need a model of it."""
    values = context.launch_configurations
    if values.get("backend", "embedded") != "px4":
        given = [name for name, *_ in PX4_ARGUMENTS if name in values]
        if given:
            raise ValueError(f"{given[0]}: found '{values[given[0]]}', wanted only with backend:=px4")
        return
    from spike_ctrl.learn import recipe

    for name, value in PX4_DEFAULTS.items():
        values.setdefault(name, value)
    if values["vehicles"] != "1":
        raise ValueError(f"backend:=px4: vehicles: found {values['vehicles']}, wanted 1")
    plan = recipe.find(values["recipe"])
    if plan.algorithm != "td3bc":
        raise ValueError(f"backend:=px4: recipe {values['recipe']}: algorithm: found {plan.algorithm}, wanted td3bc")
    if plan.schedule.hover_trim:
        wanted = "wanted false: it trims in simulation, and this vehicle is another"
        raise ValueError(f"backend:=px4: recipe {values['recipe']}: schedule.hover_trim: found true, {wanted}")


def values_of(names):
    known = [*ARGUMENTS, *PX4_ARGUMENTS]
    return {n: ParameterValue(LaunchConfiguration(n), value_type=t) for n, t, _, _ in known if n in names.split()}


def check_run(context):
    """Refuse what the nodes would refuse, before any of them runs. A resumed run brings its own arguments."""
    from spike_ctrl import airframe
    from spike_ctrl._files import output_paths, ranges
    from spike_ctrl.learn import recipe, resumption
    from spike_ctrl.policy import checkpoint
    from spike_ctrl.px4 import connection, signing, sitl_process
    from spike_ctrl.simulated_px4 import udp_server
    from spike_ctrl_ros.declared_parameters import checked
    from spike_ctrl_ros.spin import checked_priority
    from spike_ctrl_sim import px4_backend_node, simulator_node

    def given(names):
        return {name: value.evaluate(context) for name, value in values_of(names).items()}

    values = context.launch_configurations
    kind = values["simulation"]
    if values["bag"] and values["record"] != "true":
        raise ValueError(f"bag: found '{values['bag']}', wanted only with record:=true")
    checked_priority("priority", values["priority"])
    if values["backend"] != "px4" and kind != "none":
        raise ValueError(f"simulation: found {kind}, wanted only with backend:=px4")
    if kind != "none":
        connection.require_port(values["connection"], f"simulation:={kind}")
    if values["record"] == "true":
        output_paths.require_bag(Path(values["bag"] or "bags/TIME"))
    if values["backend"] == "px4":
        if values["signing_key"]:
            signing.read_key(values["signing_key"])
        connection.require(values["connection"])
    if kind == "embedded":
        ranges.require(given("seed speed"), udp_server.RANGES)
    elif kind != "none":
        folder = Path(values["px4"]).expanduser().absolute()
        sitl_process.px4(kind, folder, Path.is_file, shutil.which, {}, option="px4:=")
    if values["resume"]:
        return
    output_paths.require_folder("run", Path(values["run"] or "runs"))
    if values["run"]:
        resumption.require_new(Path(values["run"]))
    node = px4_backend_node if values["backend"] == "px4" else simulator_node
    checked(node.Parameters, given(VEHICLES[values["backend"]]))
    plan = recipe.find(values["recipe"]).with_steps(given("steps")["steps"])
    craft = airframe.load(values["airframe"])
    plan.require_fit(craft)
    if values["start_from"]:
        try:
            checkpoint.load(values["start_from"], expect={"airframe_hash": craft.hash, "action": craft.action_layout})
        except checkpoint.CheckpointError as error:
            raise ValueError(f"start_from: {error}") from None


def viewer(context):
    """The node that shows the graph. It starts last, because no node waits for it."""
    if context.launch_configurations["viewer"] == "none":
        return []
    if importlib.util.find_spec("viser") is None:
        raise ValueError("viewer:=web: the package viser is missing: pip install viser")
    return [Node(package="spike_ctrl_view", executable="viewer", name="viewer", output="screen")]


def simulation(context):
    """The simulation that this file starts: one program `spike-ctrl` for each list of arguments."""
    values = context.launch_configurations
    kind, speed = values["simulation"], ["--speed", values["speed"]]
    place = values["connection"].removeprefix("udpin:")
    embedded = ["vehicle", "--connection", place, "--local", "127.0.0.1:0", "--station", "none", "--seed", values["seed"]]
    embedded += ["--airframe", values["airframe"], "--priority", values["priority"], *speed, "--until-disarmed"]
    embedded += [word for setting in EMBEDDED for word in ("--set", setting)]
    px4 = ["px4", kind, "--px4", values["px4"], "--until-disarmed", *speed]
    craft = [] if kind == "sih" else ["--airframe", values["airframe"]]
    programs = {
        "none": [],
        "embedded": [embedded],
        "sih": [px4],
        "gazebo": [[*px4, *craft]],
        "hil": [["vehicle", "--px4-hil", "tcp:4560", *craft, *speed], [*px4, *craft]],
    }
    return [
        ExecuteProcess(  # it is no node: it takes no --ros-args
            cmd=[*SPIKE_CTRL, *words],
            name="spike-ctrl",
            output="screen",
            on_exit=when_simulation_ended,
            sigterm_timeout="60",
        )
        for words in programs[kind]
    ]


def when_simulation_ended(event, context):
    """A simulation that cannot start ends the graph with its reason. A later loss is reported by px4_backend."""
    refused = event.returncode == 2 and not context.is_shutdown
    return [Shutdown(reason="the simulation cannot be started")] if refused else []


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
        names = VEHICLES[context.launch_configurations["backend"]]
        if context.launch_configurations["backend"] == "px4":
            landing, simulation = "60", context.launch_configurations["simulation"]  # s
            begins_again = {"restarts": RESTARTS if simulation in ("embedded", "sih") else 0}
            options = {"additional_env": priority, "sigterm_timeout": landing}
            return [node(Node, "spike_ctrl_sim", "px4_backend", names, begins_again, **options)]
        return [node(Node, "spike_ctrl_sim", "simulator", names, additional_env=priority)]

    return LaunchDescription(
        [
            OpaqueFunction(function=from_run),
            OpaqueFunction(function=from_algorithm),
            OpaqueFunction(function=from_backend),
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in ARGUMENTS),
            DeclareLaunchArgument(
                "backend",
                default_value="embedded",
                choices=["embedded", "px4"],
                description="What moves the vehicles: the embedded simulator, or PX4, which flies one.",
            ),
            DeclareLaunchArgument(
                "simulation",
                default_value="none",
                choices=["none", "embedded", "sih", "gazebo", "hil"],
                description="With backend:=px4: also start our vehicle, or PX4 on its own dynamics, Gazebo or ours.",
            ),
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in PX4_ARGUMENTS),
            DeclareLaunchArgument(
                "algorithm",
                default_value="",
                description="Train by the standard recipe of an algorithm: td3bc or model_gradient.",
            ),
            DeclareLaunchArgument(
                "viewer",
                default_value="none",
                choices=["none", "web", "rerun"],
                description="web: also show the graph in 3-D in this machine's browser; rerun: its earlier name.",
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
                description="With realtime: SCHED_FIFO priority of the nodes from state to command, 1 to 99; 0: ordinary.",
            ),
            OpaqueFunction(function=check_run),
            OpaqueFunction(function=simulation),
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
            OpaqueFunction(function=viewer),
        ]
    )
