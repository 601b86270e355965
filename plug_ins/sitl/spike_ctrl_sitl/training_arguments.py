"""Launch arguments of sim_train: one vehicle on an autopilot, in real time or as fast as its simulation runs.

backend:=px4 takes the place of the simulator; simulation:=NAME also starts our vehicle, or PX4 on its own dynamics,
in Gazebo or on our dynamics. backend:=autopilot trains on the autopilot that link:=NAME reaches, as Betaflight.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from launch.actions import ExecuteProcess, Shutdown
from launch.substitutions import LaunchConfiguration

from spike_ctrl._files.ranges import setting
from spike_ctrl.launching import declared_arguments
from spike_ctrl.launching.declared_arguments import of_launch, of_node, typed
from spike_ctrl.launching.our_nodes import end_graph, node
from spike_ctrl.simulated_px4.vehicle_settings import VehicleSettings
from spike_ctrl_sitl.px4_backend_parameters import Px4BackendParameters

ONE = ("px4", "autopilot")


@dataclass(frozen=True)
class Backend:
    """Arguments of the launch itself."""

    backend: str = setting(
        "embedded",
        "What moves the vehicles: the embedded simulator; or PX4, or the autopilot of `link`, which flies one.",
        choices=("embedded", *ONE),
    )
    simulation: str = setting(
        "none",
        "With backend:=px4: also start our vehicle, or PX4 on its own dynamics, Gazebo or ours.",
        choices=("none", "embedded", "sih", "gazebo", "hil"),
    )
    px4: str = setting("PX4-Autopilot", "With simulation:=sih, gazebo or hil: the folder in which PX4 was built.")


AUTOPILOT = of_node(Px4BackendParameters, "connection system signing_key height room", only="backend:=px4 or autopilot")
LINK = of_node(Px4BackendParameters, "link", only="backend:=autopilot")
PX4_BACKEND = of_node(Px4BackendParameters, "recipe airframe vehicles seed resume") | AUTOPILOT | LINK
SPEED = of_node(VehicleSettings, "speed", only="simulation")
# Parameters of the embedded vehicle: a failsafe that acts in time, and the wander of a tuned EKF2.
EMBEDDED = ("COM_OF_LOSS_T=0.2", "COM_OBL_RC_ACT=4", "EKF2_ACC_NOISE=1.0", "EKF2_GYR_NOISE=0.1")
SPIKE_CTRL = [sys.executable, "-m", "spike_ctrl.cli.main"]  # of this installation, whatever the PATH says
RESTARTS = 3  # of a simulation whose vehicle lies on its side
PX4_DEFAULTS = {"recipe": "px4", "airframe": "sih_quadx", "vehicles": "1"}


def declarations():
    """The arguments."""
    return declared_arguments.declarations(of_launch(Backend), AUTOPILOT, LINK, SPEED)


def prepare(context):
    """On an autopilot, one vehicle of the `rates` layout flies, and the algorithm must not need a model of it."""
    values = context.launch_configurations
    backend = values.get("backend", "embedded")
    places = dict.fromkeys(("px4", *SPEED), ("px4",)) | dict.fromkeys(LINK, ("autopilot",)) | dict.fromkeys(AUTOPILOT, ONE)
    for name, wanted in places.items():
        if name in values and backend not in wanted:
            raise ValueError(f"{name}: found '{values[name]}', wanted only with backend:={' or '.join(wanted)}")
    if backend not in ONE:
        return
    from spike_ctrl.learn import recipe

    for name, value in PX4_DEFAULTS.items():
        values.setdefault(name, value)
    if values["vehicles"] != "1":
        raise ValueError(f"backend:={backend}: vehicles: found {values['vehicles']}, wanted 1")
    plan = recipe.find(values["recipe"])
    if plan.algorithm != "td3bc":
        raise ValueError(f"backend:={backend}: recipe {values['recipe']}: algorithm: found {plan.algorithm}, wanted td3bc")
    if plan.schedule.hover_trim:
        wanted = "wanted false: it trims in simulation, and this vehicle is another"
        raise ValueError(f"backend:={backend}: recipe {values['recipe']}: schedule.hover_trim: found true, {wanted}")


def check(context):
    """Refuse what the node would refuse. Raises ValueError."""
    from spike_ctrl._files import ranges
    from spike_ctrl.px4 import connection, signing
    from spike_ctrl_ros.declared_parameters import checked
    from spike_ctrl_sitl import autopilot_vehicle, sitl_process

    values = context.launch_configurations
    kind = values["simulation"]
    if values["backend"] != "px4" and kind != "none":
        raise ValueError(f"simulation: found {kind}, wanted only with backend:=px4")
    if values["backend"] not in ONE:
        return
    if kind != "none":
        connection.require_port(values["connection"], f"simulation:={kind}")
    if values["signing_key"]:
        signing.read_key(values["signing_key"])
    if values["backend"] == "autopilot":
        autopilot_vehicle.other_link(values["link"]).require(values["connection"])
    else:
        connection.require(values["connection"])
    if kind == "embedded":
        ranges.require(typed(of_node(VehicleSettings, "seed speed"), context), ranges.bounds(VehicleSettings))
    elif kind != "none":
        folder = Path(values["px4"]).expanduser().absolute()
        sitl_process.px4(kind, folder, Path.is_file, shutil.which, {}, option="px4:=")
    if not values["resume"]:
        checked(Px4BackendParameters, typed(PX4_BACKEND, context))


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
    if values["backend"] not in ONE:
        return []
    restarts = {"restarts": RESTARTS if values["simulation"] in ("embedded", "sih") else 0}
    return [
        node(
            "spike_ctrl_sitl",
            "px4_backend",
            PX4_BACKEND,
            restarts,
            additional_env={"SPIKE_CTRL_PRIORITY": LaunchConfiguration("priority")},
            on_exit=end_graph,
            sigterm_timeout="60",  # s, to land
        )
    ]
