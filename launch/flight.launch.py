"""Fly a vehicle beside its autopilot: bridge, guide, spiking policy, supervisor. Passive until asked, or auto:=true."""

import sys
from pathlib import Path
from xml.etree import ElementTree

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.flight import realtime_scheduling
from spike_ctrl.launching import argument_groups
from spike_ctrl.launching.installed import profile_variables

ARGUMENTS = [
    # name, type, default, description
    ("connection", str, "udpin:127.0.0.1:14540", "The autopilot: udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD."),
    ("model", str, "models/sih_quadx.safetensors", "Checkpoint of the policy."),
    (
        "allowed_models",
        str,
        "",
        "List of the sha256 of allowed checkpoints (sha256sum MODEL >> LIST); empty: any.",
    ),
    ("airframe", str, "sih_quadx", "The vehicle: a name among config/airframes or a path to a YAML file."),
    ("recipe", str, "rates", "Recipe with the gains of the guide; motors with vehicle:=embedded: default."),
    ("rate", float, "100.0", "Rate of the control, Hz."),
    (
        "cage",
        str,
        "",
        "Corners of the keep-in box, m, ENU, from where it stands: x,y,z,x,y,z, or absolute:x,y,z,x,y,z; empty: default.",
    ),
    ("height", float, "1.0", "Height of a take-off, m."),
    (
        "paced",
        bool,
        "false",
        "The embedded vehicle waits for the answer to each state, up to 1 s; true for vehicle:=embedded without "
        "realtime:=true.",
    ),
    ("auto", bool, "false", "Arm, take off, engage the policy, fly the trajectory and land without being asked."),
    (
        "trajectory",
        str,
        "hover",
        "Trajectories of the automatic flight, separated by commas: hover, step, circle, figure8, square or lissajous, also "
        "as KIND:SIZE:PERIOD (m, s).",
    ),
    ("setpoint", str, "", "Their centre, m: x,y,z or x,y,z,yaw (ENU, rad); empty: where the take-off ended."),
    ("size", float, "0.0", "Size of a trajectory that names none, m; 0: its default."),
    ("period", float, "0.0", "Time of a round that names none, s; 0: its default."),
    ("duration", float, "20.0", "Time that the policy flies each trajectory, s."),
    ("deviation", float, "0.6", "Largest deviation of the horizontal position that the estimator may tell in the air, m."),
    ("height_deviation", float, "1.0", "The same of the height, m."),
    ("innovation", float, "1.0", "Largest innovation, as a share of what the estimator accepts."),
    (
        "velocity_mismatch",
        float,
        "0.8",
        "Most that the velocity may change within .2 s beyond what the accelerometer says, m/s.",
    ),
    ("remote_control", bool, "true", "A pilot has a remote control; false: the autopilot must fly without one."),
    ("assume", str, "", "PX4's version, where it tells none or one that the preflight does not know; empty: ask it."),
    ("system", int, "1", "The autopilot's MAV_SYS_ID: PX4's simulation number N has N + 1."),
    ("signing_key", str, "", "File with the key of a signed link (MAVLink 2); empty: not signed."),
    (
        "link",
        str,
        "mavlink",
        "Link of the commands: mavlink, uxrce where px4_msgs is installed, or embedded: motors of our own vehicle.",
    ),
    ("px4", str, "1.17", "PX4's version, for link:=uxrce."),
    (
        "tell_commands",
        bool,
        "false",
        "Tell a policy in shadow what others command, if its checkpoint says that it learns its plant from its commands.",
    ),
    ("record", bool, "true", "Record the topics of the graph to a bag, for replay and report."),
    ("bag", str, "", "Folder of the bag; empty: bags/TIME."),
]
SHARED = "airframe rate cage height deviation height_deviation innovation velocity_mismatch assume remote_control paced"
BRIDGE = f"{SHARED} connection system signing_key link px4"
SUPERVISOR = f"{SHARED} model auto trajectory setpoint size period duration record"
# How the embedded vehicle differs from its airframe: options of `spike-ctrl vehicle`.
EMBEDDED_OPTIONS = [
    # name, type, default, description
    ("seed", int, "0", "Seed of the embedded vehicle's sensor noise."),
    ("noise", float, "1.0", "Factor of its sensor noise against PX4's simulation."),
    ("sensors", str, "", "Recipe whose sensors' errors its estimate has beside the noise, such as real; empty: none."),
    ("latency", float, "0.0", "Delay of the commands to it, s."),
    ("mass", float, "1.0", "Factor of its mass, unknown to guide and policy."),
    ("thrust", float, "1.0", "Factor of its rotors' thrust."),
    ("lag", float, "1.0", "Factor of the lag of its motors and rate loop."),
    ("truth", str, "", "CSV file for its true states; empty: none."),
    ("wind", float, "0.0", "Wind from north from its start on, m/s."),
]
MOST_WIND = 15.0  # m/s

SPIKE_CTRL = [sys.executable, "-m", "spike_ctrl.cli.main"]  # of this installation, whatever the PATH says


def when_ended(event, context):
    """A node that refuses its parameters ends the flight before it begins. A later loss is the supervisor's to handle."""
    if context.is_shutdown:
        return []
    if event.returncode == 2:
        return [Shutdown(reason="a node refuses its parameters")]
    if event.returncode == 0:
        return []
    return [LogInfo(msg="the flight goes on without this node, as far as the supervisor allows")]


def when_supervisor_ended(event, context):
    killed = event.returncode < 0 or event.returncode > 128
    return [] if killed or context.is_shutdown else [Shutdown(reason="the supervisor has ended")]


def when_vehicle_ended(event, context):
    """A vehicle that refuses its arguments ends the flight before it begins. A later loss is the supervisor's to handle."""
    if event.returncode == 2 and not context.is_shutdown:
        return [Shutdown(reason="the embedded vehicle refuses its arguments")]
    return [LogInfo(msg="the embedded vehicle has ended")]


def with_vehicle(context):
    """The embedded vehicle has no remote control. One of the layout `motors` takes motor commands over a link of its own."""
    values = context.launch_configurations
    if values.get("vehicle", "none") != "embedded":
        return
    values.setdefault("remote_control", "false")
    values.setdefault("paced", "false" if values.get("realtime") == "true" else "true")
    if "airframe" in values and airframe.load(values["airframe"]).action_layout == "motors":
        values.setdefault("link", "embedded")
        values.setdefault("recipe", "default")


def with_realtime(context):
    """SCHED_FIFO for the nodes between state and command, where this user may set it.

    An adapter that computes delays nodes under the ordinary scheduler, whatever its own priority is. Without it a vehicle
    that waits for commands flies more slowly.
    """
    values = context.launch_configurations
    wanted = values.get("realtime", "auto")
    if wanted == "false":
        return []
    if not realtime_scheduling.allowed():
        if wanted == "auto" and values.get("adapt", "false") != "true":
            return []
        argument = "realtime:=true" if wanted == "true" else "adapt:=true wants realtime:=true"
        why = f"{argument}: this user may not set SCHED_FIFO (see ulimit -r)"
        return [LogInfo(msg=f"{why}; the nodes run under the ordinary scheduler")]
    values.setdefault("priority", str(realtime_scheduling.PRIORITY))
    return []


def with_profile(context):
    """Check the profile of Fast DDS, which itself would use its defaults without an error."""
    values = context.launch_configurations
    profile = Path(values["dds_profile"] or resources.find("config", "fastdds_flight.xml"))
    try:
        fits = ElementTree.parse(profile).getroot().tag.rpartition("}")[2] in ("dds", "profiles")
    except (OSError, ElementTree.ParseError):
        fits = False
    if not fits:
        raise ValueError(f"dds_profile: found '{profile}', wanted a Fast DDS profile (XML)")
    values["dds_profile"] = str(profile.absolute())
    return []


def values_of(names):
    known = [*ARGUMENTS, *EMBEDDED_OPTIONS]
    return {n: ParameterValue(LaunchConfiguration(n), value_type=t) for n, t, _, _ in known if n in names.split()}


def check_flight(context):
    """Refuse what the nodes would refuse, before any of them runs and before a bag is begun."""
    from spike_ctrl._files import output_paths, ranges
    from spike_ctrl.learn import recipe
    from spike_ctrl.px4 import connection, signing
    from spike_ctrl.simulated_px4 import udp_server
    from spike_ctrl_flight import offboard, supervisor_node, vehicle_bridge_node
    from spike_ctrl_policy.loader import listed
    from spike_ctrl_ros.declared_parameters import checked
    from spike_ctrl_ros.spin import checked_priority

    def given(names):
        return {name: value.evaluate(context) for name, value in values_of(names).items()}

    values = context.launch_configurations
    checked_priority("priority", values["priority"])
    bridge = checked(vehicle_bridge_node.Parameters, given(BRIDGE))
    if bridge.signing_key:
        signing.read_key(bridge.signing_key)
    craft, *_ = supervisor_node.plan_flight(checked(supervisor_node.Parameters, given(SUPERVISOR)))
    offboard.find(bridge.link).check(craft, bridge.system, bridge.px4)
    recipe.find(values["recipe"])
    listed(values["allowed_models"], values["model"])
    if values["vehicle"] == "embedded":
        bounds = udp_server.RANGES | {"wind": (-MOST_WIND, MOST_WIND)}
        ranges.require(given("seed noise latency mass thrust lag wind"), bounds)
        airframe.altered(craft, **given("mass thrust lag"))
        if values["sensors"]:
            recipe.sensors(values["sensors"])
        if values["truth"]:
            output_paths.require_file("truth", Path(values["truth"]), made=True)
    elif values["paced"] == "true":
        raise ValueError("paced: found 'true', wanted it with vehicle:=embedded alone")
    if values["record"] == "true":
        output_paths.require_bag(Path(values["bag"] or "bags/TIME"))
    connection.require(bridge.connection)


def generate_launch_description():
    # With another discovery range rmw_fastrtps would add its own transports to those of the profile.
    middleware = {
        **dict.fromkeys(profile_variables(), LaunchConfiguration("dds_profile")),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
    }

    def node(kind, package, executable, names, fixed=None, on_exit=when_ended, **options):
        return kind(
            package=package,
            executable=executable,
            name=executable,
            parameters=[values_of(names) | (fixed or {})],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            additional_env=middleware | {"SPIKE_CTRL_PRIORITY": LaunchConfiguration("priority")},
            output="screen",
            on_exit=on_exit,
            sigterm_timeout="60",  # s: a landing takes time, and the other nodes wait for it
            **options,
        )

    def embedded(context):
        from spike_ctrl.px4 import connection, parameter_rules

        values = context.launch_configurations
        if values["vehicle"] == "none":
            return []
        connection.require_port(values["connection"], "vehicle:=embedded")
        place = values["connection"].removeprefix("udpin:")
        parameters = parameter_rules.simulated(airframe.load(values["airframe"]))
        words = [word for name, value in parameters.items() for word in ("--set", f"{name}={value}")]
        where = ["--connection", place, "--local", "127.0.0.1:0", "--station", "none", "--airframe", values["airframe"]]
        options = [word for n, *_ in EMBEDDED_OPTIONS if values[n] and n != "wind" for word in (f"--{n}", values[n])]
        options += ["--set", f"SIH_WIND_N={values['wind']}"]
        options += ["--signing-key", values["signing_key"]] if values["signing_key"] else []
        options += ["--paced"] if values["paced"] == "true" else []
        return [
            ExecuteProcess(  # it is no node: it takes no --ros-args
                cmd=[*SPIKE_CTRL, "vehicle", *where, *options, "--priority", values["priority"], *words, "--until-disarmed"],
                name="vehicle",
                output="screen",
                sigterm_timeout="60",  # s, to land
                on_exit=when_vehicle_ended,
            )
        ]

    def supervisor(context):
        adapt = {"adapt": context.launch_configurations.get("adapt", "false") == "true"}
        return [node(Node, "spike_ctrl_flight", "supervisor", SUPERVISOR, adapt, on_exit=when_supervisor_ended)]

    groups = argument_groups.of("flight")
    return LaunchDescription(
        [
            OpaqueFunction(function=argument_groups.step(groups, "prepare")),
            OpaqueFunction(function=with_vehicle),
            OpaqueFunction(function=with_realtime),
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in ARGUMENTS),
            DeclareLaunchArgument(
                "vehicle",
                default_value="none",
                choices=["none", "embedded"],
                description="embedded: also start a simulated vehicle that speaks MAVLink as PX4 does.",
            ),
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in EMBEDDED_OPTIONS),
            *argument_groups.declarations(groups),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error"],
                description="The least severe messages that nodes print.",
            ),
            DeclareLaunchArgument(
                "realtime",
                default_value="auto",
                choices=["auto", "true", "false"],
                description="SCHED_FIFO for the nodes of the control; auto: where the user may; true: also in real time.",
            ),
            DeclareLaunchArgument(
                "priority",
                default_value="0",
                description="SCHED_FIFO priority of these nodes, 1 to 99; 0: ordinary.",
            ),
            DeclareLaunchArgument(
                "dds_profile",
                default_value="",
                description="Fast DDS profile of the nodes; empty: one that keeps them on this machine, off shared memory.",
            ),
            OpaqueFunction(function=with_profile),
            OpaqueFunction(function=check_flight),
            OpaqueFunction(function=argument_groups.step(groups, "check")),
            OpaqueFunction(function=argument_groups.step(groups, "first")),
            OpaqueFunction(function=embedded),
            Node(  # the first node to start is the last to end, so it records what the others publish at their end
                package="spike_ctrl_record",
                executable="recorder",
                name="recorder",
                parameters=[{"bag": ParameterValue(LaunchConfiguration("bag"), value_type=str), "flight": True}],
                additional_env=middleware,
                output="screen",
                on_exit=when_ended,
                condition=IfCondition(LaunchConfiguration("record")),
            ),
            node(Node, "spike_ctrl_flight", "vehicle_bridge", BRIDGE),
            node(Node, "spike_ctrl_guide", "guide_policy", "airframe recipe rate", {"flight": True}),
            node(
                LifecycleNode,
                "spike_ctrl_policy",
                "snn_policy",
                "model allowed_models airframe tell_commands paced",
                {"flight": True, "autostart": True},
                namespace="",
            ),
            OpaqueFunction(function=supervisor),
            OpaqueFunction(function=argument_groups.step(groups, "last")),
        ]
    )
