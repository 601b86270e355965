"""Fly a vehicle beside its autopilot: bridge, guide, spiking policy, supervisor. Passive until asked, or auto:=true."""

import os
import re
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from launch import LaunchDescription
from launch.actions import ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from spike_ctrl import airframe
from spike_ctrl._files import ranges, resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.flight import realtime_scheduling
from spike_ctrl.flight.flight_options import FlightOptions
from spike_ctrl.launching import argument_groups
from spike_ctrl.launching.declared_arguments import LaunchSettings, declarations, of_launch, of_node, typed
from spike_ctrl.launching.installed import flight_middleware, in_namespace
from spike_ctrl.launching.our_nodes import node
from spike_ctrl.simulated_px4.vehicle_settings import VehicleSettings, parse_failure
from spike_ctrl_flight.flight_parameters import BridgeParameters, SupervisorParameters
from spike_ctrl_guide.guide_parameters import GuideParameters
from spike_ctrl_policy.policy_parameters import PolicyParameters
from spike_ctrl_record.recording_parameters import RecorderParameters


@dataclass(frozen=True)
class Flight(LaunchSettings):
    """Arguments of the launch itself."""

    record: bool = setting(True, "Record the topics of the graph to a bag, for replay and report.")
    vehicle: str = setting(
        "none",
        "embedded: also start a simulated vehicle that speaks MAVLink as PX4 does. One that is commanded by its motors sets "
        "recipe:=default and link:=embedded.",
        choices=("none", "embedded"),
    )
    wind: float = within(0.0, -15, 15, "Wind from north, from the embedded vehicle's start on.", "m/s")
    realtime: str = setting(
        "auto",
        "SCHED_FIFO for the nodes between state and command; auto: where the user may; true: also paced:=false.",
        choices=("auto", "true", "false"),
    )
    dds_profile: str = setting(
        "", "Fast DDS profile of the nodes; empty: one that keeps them on this machine, off shared memory."
    )


OWN = of_launch(Flight)
BRIDGE = of_node(BridgeParameters)
GUIDE = of_node(GuideParameters, "airframe recipe rate", recipe="rates")
MISSION = of_node(SupervisorParameters, "model rotor_check auto trajectory setpoint size period duration record east north")
POLICY = of_node(PolicyParameters, "airframe model allowed_models tell_commands paced", model="models/sih_quadx.safetensors")
SHIPPED = "Checkpoint of the policy; where the airframe alone is given: models/AIRFRAME.safetensors, if there is one."
POLICY |= {"trajectory": MISSION["trajectory"], "model": POLICY["model"]._replace(description=SHIPPED)}
SUPERVISOR = of_node(FlightOptions) | MISSION
RECORDER = of_node(RecorderParameters, "bag")
EMBEDDED = of_node(VehicleSettings, "seed noise sensors latency mass thrust lag fault truth", only="vehicle:=embedded")

PX4_PORT = 14540  # of PX4's simulation 0; number N up to 9 has 14540 + N and the MAV_SYS_ID N + 1
NUMBERS = (*range(1, 10), *range(20, 100))  # of embedded vehicles; between lie the ports of ground stations
EAST_OF_EACH_OTHER = 8.0  # m, of embedded vehicles: a cage is 6 m wide where none is given
KEPT = []  # sockets that keep what this launch has taken
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
    """The embedded vehicle has no remote control. One of the layout `motors` takes motor commands over a link of its own.

    A simulation at another speed than 1 is flown in its own time.
    """
    values = context.launch_configurations
    if values.get("vehicle", "none") != "embedded":
        with suppress(ValueError):  # what is no number is refused later
            if float(values.get("speed", 1)) != 1:
                values.setdefault("paced", "true")
        return
    values.setdefault("remote_control", "false")
    values.setdefault("paced", "false" if values.get("realtime") == "true" else "true")
    values.setdefault("rotor_check", "true" if values.get("fault") else "false")
    if "airframe" in values and airframe.load(values["airframe"]).action_layout == "motors":
        values.setdefault("link", "embedded")
        values.setdefault("recipe", "default")


def with_model(context):
    """The shipped model of an airframe that is given without one; otherwise the default, which the contract may refuse."""
    values = context.launch_configurations
    if (shipped := resources.shipped_model(values.get("airframe", ""))) is not None:
        values.setdefault("model", f"models/{shipped.name}")


def with_place(context):
    """Port, MAV_SYS_ID and place of a vehicle beside others. px4_N is PX4's simulation N, with the numbers that PX4 takes.

    An embedded vehicle takes the first free number, and stands EAST_OF_EACH_OTHER.
    """
    values = context.launch_configurations
    space = values.get("namespace", "").strip("/")
    if space and values.get("vehicle") == "embedded":
        number = free_number()
        values.setdefault("east", str(EAST_OF_EACH_OTHER * number))
    elif found := re.fullmatch(r"px4_(\d)", space):
        number = int(found[1])
    else:
        return
    values.setdefault("connection", f"udpin:127.0.0.1:{PX4_PORT + number}")
    values.setdefault("system", str(1 + number))


def free_number():
    """The first of PX4's numbers from 1 on that no other launch has taken and whose port nobody uses."""
    for number in NUMBERS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bridge:
            try:
                bridge.bind(("127.0.0.1", PX4_PORT + number))
            except OSError:
                continue
        if taken(f"number {number}"):
            return number
    raise ValueError(f"namespace: found no free port from {PX4_PORT + 1} to {PX4_PORT + 99}, wanted one; or give connection")


def taken(what):
    """Whether this launch gets it: one at a time on this machine, until the launch ends. No file is left behind."""
    kept = socket.socket(socket.AF_UNIX)
    try:
        kept.bind(f"\0spike_ctrl flight {what}")  # an abstract name of Linux
    except OSError:
        kept.close()
        return False
    KEPT.append(kept)
    return True


def take_place(context):
    """One flight in each namespace of a ROS domain. Says where one with a namespace stands, and beside which autopilot."""
    values = context.launch_configurations
    space = values["namespace"].strip("/")
    where = f"/{space} of ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
    if not taken(f"in {where}"):
        raise ValueError(f"another flight runs in {where}: end it, or fly beside it with namespace:=b or another name")
    if not space:
        return []
    autopilot = f"autopilot {values['system']} at {values['connection']}"
    return [LogInfo(msg=f"{where}; {autopilot}; its odom begins {values['east']} m east, {values['north']} m north in map")]


def with_realtime(context):
    """SCHED_FIFO for the nodes between state and command, where this user may set it."""
    values = context.launch_configurations
    wanted = values.get("realtime", "auto")
    if wanted == "false":
        return []
    if not realtime_scheduling.allowed():
        if wanted == "auto":
            return []
        why = "realtime:=true: this user may not set SCHED_FIFO (see ulimit -r)"
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


def check_flight(context):
    """Refuse what the nodes would refuse, before any of them runs and before a bag is begun."""
    from spike_ctrl._files import output_paths
    from spike_ctrl.px4 import connection, signing
    from spike_ctrl_flight import flight_plan
    from spike_ctrl_ros.declared_parameters import checked
    from spike_ctrl_ros.spin import checked_priority

    values = context.launch_configurations
    checked_priority("priority", values["priority"])
    in_namespace(values["namespace"])
    bridge = checked(BridgeParameters, typed(BRIDGE, context))
    if bridge.signing_key:
        signing.read_key(bridge.signing_key)
    craft, *_ = flight_plan.plan_flight(checked(SupervisorParameters, typed(SUPERVISOR, context)))

    from spike_ctrl.learn import recipe  # slow: a model of another vehicle is refused before
    from spike_ctrl_flight import offboard
    from spike_ctrl_policy.loader import listed

    link = offboard.find(bridge.link)
    link.check(craft, bridge.system, bridge.px4)
    recipe.find(values["recipe"])
    listed(values["allowed_models"], values["model"])
    if values["vehicle"] == "embedded":
        if bridge.speed != 1:
            raise ValueError(f"speed: found {bridge.speed:g}, wanted 1: the embedded vehicle keeps the pace of the flight")
        given = typed(EMBEDDED | {"wind": OWN["wind"]}, context)
        ranges.require(given, ranges.bounds(VehicleSettings) | ranges.bounds(Flight))
        airframe.altered(craft, given["mass"], given["thrust"], given["lag"])
        if given["fault"]:
            parse_failure(given["fault"])
        if given["sensors"]:
            recipe.sensors(given["sensors"])
        if given["truth"]:
            output_paths.require_file("truth", Path(given["truth"]), made=True)
    elif bridge.speed != 1 and bridge.connection.startswith("serial:"):
        raise ValueError(f"speed: found {bridge.speed:g}, wanted 1: only a simulation has another")
    elif bridge.speed != 1 and not bridge.paced:
        raise ValueError("paced: found 'false', wanted true: a simulation at another speed is flown in its own time")
    elif bridge.paced and bridge.speed == 1 and not getattr(link, "paces", lambda _: False)(bridge.connection):
        raise ValueError("paced: found 'true', wanted it with vehicle:=embedded or the speed:= of a simulation")
    if values["record"] == "true":
        output_paths.require_bag(Path(values["bag"] or "bags/TIME"))
    try:
        getattr(link, "require", connection.require)(bridge.connection)
    except UsageError as error:
        if "already in use" not in str(error):
            raise
        raise ValueError(f"{error}; beside another flight, fly with namespace:=b or another name") from None


def embedded(context):
    """The embedded vehicle, if it is wanted."""
    from spike_ctrl.px4 import connection, parameter_rules
    from spike_ctrl_flight.flight_plan import flight_settings
    from spike_ctrl_ros.declared_parameters import checked

    values = context.launch_configurations
    if values["vehicle"] == "none":
        return []
    connection.require_port(values["connection"], "vehicle:=embedded")
    place = values["connection"].removeprefix("udpin:")
    craft, settings, wanted = flight_settings(checked(SupervisorParameters, typed(SUPERVISOR, context)))
    parameters = parameter_rules.simulated(craft)
    rules = parameter_rules.rules_for(settings, craft, wanted)
    parameters |= parameter_rules.to_set(parameters, rules)  # the fence lies outside the cage
    parameters |= {"SIH_WIND_N": values["wind"]}
    words = [word for name, value in parameters.items() for word in ("--set", f"{name}={value}")]
    where = ["--connection", place, "--local", "127.0.0.1:0", "--station", "none", "--airframe", values["airframe"]]
    options = [word for name in EMBEDDED if values[name] for word in (f"--{name}", values[name])]
    options += ["--instance", str(int(values["system"]) - 1)]
    options += ["--signing-key", values["signing_key"]] if values["signing_key"] else []
    options += ["--paced"] if values["paced"] == "true" else []
    return [
        ExecuteProcess(  # it is no node: it takes no --ros-args
            cmd=[*SPIKE_CTRL, "vehicle", *where, *options, "--priority", values["priority"], *words, "--until-disarmed"],
            name=f"{values['namespace']}/vehicle".lstrip("/"),
            output="screen",
            sigterm_timeout="60",  # s, to land
            on_exit=when_vehicle_ended,
        )
    ]


def nodes(context, groups):
    """The nodes of the flight, with the parameters that plug-ins set."""
    added = argument_groups.parameters(groups, context)
    middleware = flight_middleware(LaunchConfiguration("dds_profile"))

    def flying(package, executable, arguments, fixed=None, on_exit=when_ended, **options):
        return node(
            package,
            executable,
            arguments,
            (fixed or {}) | added.get(executable, {}),
            additional_env=middleware | {"SPIKE_CTRL_PRIORITY": LaunchConfiguration("priority")},
            on_exit=on_exit,
            sigterm_timeout="60",  # s: a landing takes time, and the other nodes wait for it
            **options,
        )

    return [
        node(  # the first node to start is the last to end, so it records what the others publish at their end
            "spike_ctrl_record",
            "recorder",
            RECORDER,
            {"flight": True} | added.get("recorder", {}),
            additional_env=middleware,
            on_exit=when_ended,
            condition=IfCondition(LaunchConfiguration("record")),
        ),
        flying("spike_ctrl_flight", "vehicle_bridge", BRIDGE),
        flying("spike_ctrl_guide", "guide_policy", GUIDE, {"flight": True}),
        flying("spike_ctrl_policy", "snn_policy", POLICY, {"flight": True, "autostart": True}, lifecycle=True),
        flying("spike_ctrl_flight", "supervisor", SUPERVISOR, on_exit=when_supervisor_ended),
    ]


def generate_launch_description():
    groups = argument_groups.of("flight")
    return LaunchDescription(
        [
            OpaqueFunction(function=with_vehicle),
            OpaqueFunction(function=with_place),
            OpaqueFunction(function=argument_groups.step(groups, "prepare")),
            OpaqueFunction(function=with_model),
            OpaqueFunction(function=with_realtime),
            *declarations(BRIDGE, POLICY, GUIDE, OWN, SUPERVISOR, RECORDER, EMBEDDED),
            *argument_groups.declarations(groups),
            OpaqueFunction(function=with_profile),
            OpaqueFunction(function=check_flight),
            OpaqueFunction(function=argument_groups.step(groups, "check")),
            OpaqueFunction(function=take_place),
            OpaqueFunction(function=argument_groups.step(groups, "first")),
            OpaqueFunction(function=embedded),
            OpaqueFunction(function=nodes, args=[groups]),
            OpaqueFunction(function=argument_groups.step(groups, "last")),
        ]
    )
