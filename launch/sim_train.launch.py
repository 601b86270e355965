"""Train in simulation: simulator, guide, spiking policy and learner, in lockstep. Ends when the learner ends.

backend:=px4 trains one vehicle that flies on a PX4 instead, in real time or as fast as its simulation runs.
"""

import importlib.util
import shutil
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
    ("start_from", str, "", "Checkpoint whose weights a new run begins with, to fine-tune it; empty: random ones."),
    ("realtime", bool, "false", "One control step each 10 ms instead of as fast as all answer."),
    ("record", bool, "false", "Also record the topics of the graph to a bag."),
    ("bag", str, "", "Folder of the bag; empty: bags/TIME."),
    ("topics", str, "", "Names of topics to record, with spaces between them; empty: those of spike_ctrl; all: every one."),
]
PX4_ARGUMENTS = [
    ("connection", str, "udpin:127.0.0.1:14540", "Of backend:=px4: udpin:HOST:PORT, udpout:HOST:PORT or serial:DEV:BAUD."),
    ("system", int, "1", "Of backend:=px4: the autopilot's MAV_SYS_ID; PX4's simulation number N has N + 1."),
    ("signing_key", str, "", "Of backend:=px4: file with the key of a signed link (MAVLink 2); empty: not signed."),
    ("height", float, "5.0", "Of backend:=px4: m above the take-off, of the middle of the room that it flies in."),
    ("room", float, "4.0", "Of backend:=px4: m from the middle of the room to its walls."),
    ("px4", str, "PX4-Autopilot", "Of simulation:=sih, gazebo and hil: PX4's folder, in which it is built."),
    ("speed", float, "1.0", "Of simulation: its time against the clock's."),
]
# What who moves the vehicles is told, by backend.
VEHICLES = {
    "embedded": "recipe airframe vehicles seed resume realtime",
    "px4": "recipe airframe vehicles seed resume connection system signing_key height room",
}
# For the embedded vehicle: PX4's failsafe acts in time, and its estimate wanders as that of a tuned EKF2.
EMBEDDED = ("COM_OF_LOSS_T=0.2", "COM_OBL_RC_ACT=4", "EKF2_ACC_NOISE=1.0", "EKF2_GYR_NOISE=0.1")
PX4_DEFAULTS = {"recipe": "px4", "airframe": "sih_quadx", "vehicles": "1"}


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
        from spike_ctrl.learn import resumption

        values.update(resumption.arguments(Path(values["resume"]), dict(values)))


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


def from_backend(context):
    """On a PX4 one vehicle of the `rates` layout flies, and no model of it is differentiated."""
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
    if (found := recipe.find(values["recipe"]).algorithm) != "td3bc":
        raise ValueError(f"backend:=px4: recipe {values['recipe']}: algorithm: found {found}, wanted td3bc")


def values_of(names):
    known = [*ARGUMENTS, *PX4_ARGUMENTS]
    return {n: ParameterValue(LaunchConfiguration(n), value_type=t) for n, t, _, _ in known if n in names.split()}


def check_run(context):
    """What several nodes would refuse, or none before all of them run. A resumed run brings what it was started with."""
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
    """The node that shows the graph: last, for nobody waits for it."""
    if context.launch_configurations["viewer"] == "none":
        return []
    if importlib.util.find_spec("rerun") is None:
        raise ValueError("viewer:=rerun: the package rerun-sdk is missing: pip install rerun-sdk")
    return [Node(package="spike_ctrl_view", executable="viewer", name="viewer", output="screen")]


def simulation(context):
    """What flies, where this file is to start it: one program for each of these lists of arguments of spike-ctrl."""
    values = context.launch_configurations
    kind, speed = values["simulation"], ["--speed", values["speed"]]
    place = values["connection"].removeprefix("udpin:")
    embedded = ["vehicle", "--connection", place, "--local", "127.0.0.1:0", "--station", "none", "--seed", values["seed"]]
    embedded += ["--airframe", values["airframe"], "--priority", values["priority"], *speed, "--until-disarmed"]
    embedded += [word for setting in EMBEDDED for word in ("--set", setting)]
    px4 = ["px4", kind, "--px4", values["px4"], *speed]
    craft = [] if kind == "sih" else ["--airframe", values["airframe"]]
    programs = {
        "none": [],
        "embedded": [embedded],
        "sih": [px4],
        "gazebo": [[*px4, *craft]],
        "hil": [["vehicle", "--px4-hil", "tcp:4560", *craft, *speed], [*px4, *craft]],
    }
    return [
        Node(
            package="spike_ctrl",
            executable="spike-ctrl",
            arguments=words,
            output="screen",
            on_exit=when_simulation_ended,
            sigterm_timeout="60",
        )
        for words in programs[kind]
    ]


def when_simulation_ended(event, context):
    """What cannot be started ends the graph with its reason; one that is lost later the node px4_backend names."""
    return [Shutdown(reason="the simulation cannot be started")] if event.returncode == 2 else []


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
            landing = "60"  # s
            return [node(Node, "spike_ctrl_sim", "px4_backend", names, additional_env=priority, sigterm_timeout=landing)]
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
                description="Who moves the vehicles: the embedded simulator, or a PX4 that flies one.",
            ),
            DeclareLaunchArgument(
                "simulation",
                default_value="none",
                choices=["none", "embedded", "sih", "gazebo", "hil"],
                description="Of backend:=px4: also start what flies: our vehicle, or PX4 on its dynamics, Gazebo or ours.",
            ),
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in PX4_ARGUMENTS),
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
            OpaqueFunction(function=check_run),
            OpaqueFunction(function=simulation),
            node(  # first: what starts first ends last, and hears what the others say at their end
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
                sigterm_timeout="20",  # s: it saves a run that can be resumed
            ),
            OpaqueFunction(function=viewer),
        ]
    )
