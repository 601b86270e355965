"""Launch arguments of sim_train: one vehicle on a PX4, in real time or as fast as its simulation runs.

backend:=px4 takes the place of the simulator; simulation:=NAME also starts our vehicle, or PX4 on its own dynamics,
in Gazebo or on our dynamics.
"""

import shutil
import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, ExecuteProcess, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PX4_ARGUMENTS = [
    ("connection", str, "udpin:127.0.0.1:14540", "With backend:=px4: udpin:HOST:PORT, udpout:HOST:PORT or serial:DEV:BAUD."),
    ("system", int, "1", "With backend:=px4: the autopilot's MAV_SYS_ID; PX4's simulation number N has N + 1."),
    ("signing_key", str, "", "With backend:=px4: file with the key of a signed link (MAVLink 2); empty: not signed."),
    ("height", float, "5.0", "With backend:=px4: height of the middle of the room above the take-off, m."),
    ("room", float, "4.0", "With backend:=px4: distance from the middle of the room to its walls, m."),
    ("px4", str, "PX4-Autopilot", "With simulation:=sih, gazebo or hil: the folder in which PX4 was built."),
    ("speed", float, "1.0", "With simulation: factor of its time against the clock."),
]
OF_THE_RUN = {"recipe": str, "airframe": str, "vehicles": int, "seed": int, "resume": str}  # arguments of the launch file
OF_THE_NODE = OF_THE_RUN | {name: kind for name, kind, *_ in PX4_ARGUMENTS if name not in ("px4", "speed")}
# Parameters of the embedded vehicle: a failsafe that acts in time, and the wander of a tuned EKF2.
EMBEDDED = ("COM_OF_LOSS_T=0.2", "COM_OBL_RC_ACT=4", "EKF2_ACC_NOISE=1.0", "EKF2_GYR_NOISE=0.1")
SPIKE_CTRL = [sys.executable, "-m", "spike_ctrl.cli.main"]  # of this installation, whatever the PATH says
RESTARTS = 3  # of a simulation whose vehicle lies on its side
PX4_DEFAULTS = {"recipe": "px4", "airframe": "sih_quadx", "vehicles": "1"}


def declarations():
    """The arguments."""
    backend = "What moves the vehicles: the embedded simulator, or PX4, which flies one."
    simulation = "With backend:=px4: also start our vehicle, or PX4 on its own dynamics, Gazebo or ours."
    kinds = ["none", "embedded", "sih", "gazebo", "hil"]
    return [
        DeclareLaunchArgument("backend", default_value="embedded", choices=["embedded", "px4"], description=backend),
        DeclareLaunchArgument("simulation", default_value="none", choices=kinds, description=simulation),
        *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in PX4_ARGUMENTS),
    ]


def prepare(context):
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


def check(context):
    """Refuse what the node would refuse. Raises ValueError."""
    from spike_ctrl._files import ranges
    from spike_ctrl.px4 import connection, signing
    from spike_ctrl.simulated_px4 import udp_server
    from spike_ctrl_ros.declared_parameters import checked
    from spike_ctrl_sitl import px4_backend_node, sitl_process

    values = context.launch_configurations
    kind = values["simulation"]
    if values["backend"] != "px4":
        if kind != "none":
            raise ValueError(f"simulation: found {kind}, wanted only with backend:=px4")
        return
    if kind != "none":
        connection.require_port(values["connection"], f"simulation:={kind}")
    if values["signing_key"]:
        signing.read_key(values["signing_key"])
    connection.require(values["connection"])
    if kind == "embedded":
        ranges.require(_given(context, {"seed": int, "speed": float}), udp_server.RANGES)
    elif kind != "none":
        folder = Path(values["px4"]).expanduser().absolute()
        sitl_process.px4(kind, folder, Path.is_file, shutil.which, {}, option="px4:=")
    if not values["resume"]:
        checked(px4_backend_node.Parameters, _given(context, OF_THE_NODE))


def first(context):
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


def vehicles(context):
    """The node px4_backend in place of the simulator."""
    values = context.launch_configurations
    if values["backend"] != "px4":
        return []
    restarts = {"restarts": RESTARTS if values["simulation"] in ("embedded", "sih") else 0}
    return [
        Node(
            package="spike_ctrl_sitl",
            executable="px4_backend",
            name="px4_backend",
            parameters=[_values(OF_THE_NODE) | restarts],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            additional_env={"SPIKE_CTRL_PRIORITY": LaunchConfiguration("priority")},
            output="screen",
            on_exit=when_node_ended,
            sigterm_timeout="60",  # s, to land
        )
    ]


def when_node_ended(event, context):
    """A node that ends by itself ends the graph. After a kill, the nodes that miss it report it."""
    killed = event.returncode < 0 or event.returncode > 128
    return [] if killed or context.is_shutdown else [Shutdown(reason="a node has ended")]


def _values(kinds):
    return {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in kinds.items()}


def _given(context, kinds):
    return {name: value.evaluate(context) for name, value in _values(kinds).items()}
