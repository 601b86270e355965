"""Gazebo (Harmonic) files with the physics of an airframe, and the parameters with which PX4 flies them.

At w rad/s, Gazebo's rotor (MulticopterMotorModel) gives the thrust k w^2, the reaction torque m k w^2, and the drag d w v in
its plane; w has a first-order lag. PX4 v1.17 commands w = low + (high - low) u. Gazebo's model frame is FLU, as ours. The
drag acts at each rotor, so it damps yaw too: by linear_drag r^2 N m s/rad, with rotors r from the middle.
"""

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, OPTIONAL_TERMS, Airframe
from spike_ctrl.px4.dialect import MOTOR_ORDER
from spike_ctrl.px4.parameter_rules import thrust_model
from spike_ctrl_sitl.px4_environment import GAZEBO, rotors

TOP_SPEED = 1000.0  # rad/s at u = 1; the value is free, k follows from it
ROTOR_SHARE = 1 / 128  # of the vehicle's mass, for each rotor: Gazebo wants a mass at every joint
# Sensor, its rate (Hz), and the standard deviations of what it measures: those of PX4's own x500. PX4 takes a sensor whose
# value never changes for dead.
GYRO = {f"angular_velocity/{axis}": 8.7e-4 for axis in "xyz"}  # rad/s
ACCELEROMETER = {"linear_acceleration/x": 6.4e-3, "linear_acceleration/y": 6.4e-3, "linear_acceleration/z": 6.9e-3}  # m/s^2
SENSORS = (
    ("imu", 250, GYRO | ACCELEROMETER),
    ("air_pressure", 50, {"pressure": 3.0}),  # Pa
    ("magnetometer", 100, {axis: 1e-4 for axis in "xyz"}),
    ("navsat", 30, {}),
)
SYSTEMS = (
    "physics", "user-commands", "scene-broadcaster", "contact", "imu", "air-pressure", "magnetometer", "nav-sat", "sensors",
)  # fmt: skip


class Rotor(NamedTuple):
    """Thrust (N) = constant (low + (high - low) u)^2. low, high: rad/s. drag: N per m/s and rad/s, in the rotor's plane."""

    constant: float
    low: float
    high: float
    drag: float


def rotor(airframe: Airframe) -> Rotor:
    """The airframe's rotor in Gazebo's model. Raises UsageError where its thrust curve differs by more than 1 %."""
    c0, c1, c2 = airframe.thrust_curve
    constant = airframe.thrust(1.0) / TOP_SPEED**2
    low = math.sqrt(max(c0, 0.0) / constant)
    span = TOP_SPEED - low
    wanted = (constant * low * low, 2 * constant * low * span, constant * span * span)
    if any(abs(a - b) > 0.01 * airframe.thrust(1.0) for a, b in zip((c0, c1, c2), wanted, strict=True)):
        raise UsageError(
            f"airframe {airframe.name}: thrust_curve: found {c0:g} {c1:g} {c2:g} N, wanted a square, k (a + b u)^2, "
            f"the only thrust that Gazebo's rotors have; with its first and last value: "
            f"{wanted[0]:.4g} {wanted[1]:.4g} {wanted[2]:.4g} N"
        )
    if airframe.angular_drag:
        found = f"found {airframe.angular_drag:g} N m s/rad, wanted 0"
        raise UsageError(f"airframe {airframe.name}: angular_drag: {found}: Gazebo's rotors have none")
    for term in OPTIONAL_TERMS:
        if getattr(airframe, term) != getattr(Airframe, term):
            raise UsageError(f"airframe {airframe.name}: {term}: found {getattr(airframe, term)}, wanted none for Gazebo")
    hover = low + span * airframe.hover
    return Rotor(constant, low, TOP_SPEED, airframe.linear_drag / (4 * hover))


def model(airframe: Airframe) -> str:
    """model.sdf: a body with PX4's sensors and four rotors that together have the airframe's mass and inertia."""
    turning = rotor(airframe)
    sdf = ElementTree.Element("sdf", version="1.9")
    craft = _add(sdf, "model", name=airframe.name)
    mass = airframe.mass * ROTOR_SHARE
    size = (max(airframe.rotor_x), max(airframe.rotor_y))
    body = _add(craft, "link", name="base_link")
    arms = zip(airframe.rotor_x, airframe.rotor_y, strict=True)
    shares = [(mass * y * y, mass * x * x, mass * (x * x + y * y)) for x, y in arms]
    own = _rotor_inertia(mass, size)
    rest = [total - sum(share[i] for share in shares) - 4 * own[i] for i, total in enumerate(airframe.inertia)]
    _inertial(body, airframe.mass - 4 * mass, rest)
    _box(body, "collision", (2 * size[0], 2 * size[1], 0.1), lift=0.05)  # at z 0 the vehicle stands on the ground
    _box(body, "visual", (2 * size[0], 0.3 * size[1], 0.04))
    for kind, rate, noise in SENSORS:
        sensor = _add(body, "sensor", name=f"{kind}_sensor", type=kind)
        _add(sensor, "always_on", 1)
        _add(sensor, "update_rate", rate)
        _noisy(sensor, kind, noise)
    for number, index in enumerate(MOTOR_ORDER):
        x, y = airframe.rotor_x[index], airframe.rotor_y[index]
        link = _add(craft, "link", name=f"rotor_{number}")
        _add(link, "pose", f"{x:.9g} {y:.9g} 0 0 0 0")
        _inertial(link, mass, own)
        _box(link, "visual", (0.8 * size[0], 0.02, 0.005))
        joint = _add(craft, "joint", name=f"rotor_{number}_joint", type="revolute")
        _add(joint, "parent", "base_link")
        _add(joint, "child", f"rotor_{number}")
        axis = _add(joint, "axis")
        _add(axis, "xyz", "0 0 1")
        limit = _add(axis, "limit")
        _add(limit, "lower", "-1e16")
        _add(limit, "upper", "1e16")
        motor = _add(
            craft,
            "plugin",
            filename="gz-sim-multicopter-motor-model-system",
            name="gz::sim::systems::MulticopterMotorModel",
        )
        for key, value in {
            "jointName": f"rotor_{number}_joint",
            "linkName": f"rotor_{number}",
            # Our spin is the sign of the torque on the body about z. A rotor that turns left turns the body right.
            "turningDirection": "ccw" if airframe.rotor_spin[index] < 0 else "cw",
            "timeConstantUp": airframe.lag_up,
            "timeConstantDown": airframe.lag_down,
            "maxRotVelocity": turning.high,
            "motorConstant": turning.constant,
            "momentConstant": airframe.torque_per_thrust,
            "commandSubTopic": "command/motor_speed",
            "actuator_number": number,
            "rotorDragCoefficient": turning.drag,
            "rollingMomentCoefficient": 0,
            "rotorVelocitySlowdownSim": 10,
            "motorType": "velocity",
        }.items():
            _add(motor, key, value)
    return _text(sdf)


def world(name: str, speed: float = 1.0, wind: float = 0.0) -> str:
    """NAME.sdf: flat ground, physics at 250 Hz, gravity, magnetic field, and the place where PX4's simulations start.

    speed: seconds of its time per second of the clock. wind: from north, m/s; the rotors' drag feels it.
    """
    sdf = ElementTree.Element("sdf", version="1.9")
    place = _add(sdf, "world", name=name)
    physics = _add(place, "physics", type="ode")
    _add(physics, "max_step_size", 0.004)
    _add(physics, "real_time_factor", float(speed))
    for system in SYSTEMS:
        title = "".join(word.capitalize() for word in system.split("-"))
        file = system.replace("nav-sat", "navsat")
        plugin = _add(place, "plugin", filename=f"gz-sim-{file}-system", name=f"gz::sim::systems::{title}")
        if system == "sensors":
            _add(plugin, "render_engine", "ogre2")
    _add(place, "gravity", f"0 0 {-GRAVITY}")
    _add(place, "magnetic_field", "6e-06 2.3e-05 -4.2e-05")
    _add(place, "atmosphere", type="adiabatic")
    _add(_add(place, "wind"), "linear_velocity", f"0 {0 - wind:g} 0")
    ground = _add(place, "model", name="ground_plane")
    _add(ground, "static", "true")
    link = _add(ground, "link", name="link")
    for kind in ("collision", "visual"):
        plane = _add(_add(_add(link, kind, name=kind), "geometry"), "plane")
        _add(plane, "normal", "0 0 1")
        _add(plane, "size", "100 100")
    sun = _add(place, "light", name="sun", type="directional")
    _add(sun, "direction", "0.001 0.625 -0.78")
    here = _add(place, "spherical_coordinates")
    for key, value in {
        "surface_model": "EARTH_WGS84",
        "world_frame_orientation": "ENU",
        "latitude_deg": 47.397971,
        "longitude_deg": 8.546164,
        "elevation": 0,
    }.items():
        _add(here, key, value)
    return _text(sdf)


def environment(airframe: Airframe, folder: Path, world_name: str) -> dict[str, str]:
    """Variables with which PX4's start-up script flies the model in that folder. PX4's frame is FRD."""
    turning = rotor(airframe)
    parameters: dict[str, float] = {**rotors(airframe), **thrust_model(airframe), **GAZEBO}
    for number in range(4):
        parameters[f"SIM_GZ_EC_FUNC{number + 1}"] = 101 + number
        parameters[f"SIM_GZ_EC_MIN{number + 1}"] = round(turning.low)
        parameters[f"SIM_GZ_EC_MAX{number + 1}"] = round(turning.high)
    return {
        "PX4_SYS_AUTOSTART": "4001",  # gz_x500; the parameters below overwrite those of its script
        "PX4_SIM_MODEL": f"gz_{airframe.name}",
        "PX4_GZ_MODELS": str(folder / "models"),
        "PX4_GZ_WORLDS": str(folder / "worlds"),
        "PX4_GZ_WORLD": world_name,
        "GZ_SIM_RESOURCE_PATH": f"{folder / 'models'}:{folder / 'worlds'}",
        **{f"PX4_PARAM_{name}": f"{value:g}" for name, value in parameters.items()},
    }


def write(
    airframe: Airframe, folder: Path, world_name: str = "spike_ctrl", speed: float = 1.0, wind: float = 0.0
) -> list[Path]:
    """Write models/NAME/model.sdf, its model.config, worlds/WORLD.sdf and px4.env, and give their paths. See `world`."""
    config = ElementTree.Element("model")
    _add(config, "name", airframe.name)
    _add(config, "version", "1.0")
    _add(config, "sdf", "model.sdf", version="1.9")
    _add(config, "description", f"Physics of the airframe {airframe.name}, {airframe.hash}, of spike_ctrl.")
    variables = environment(airframe, folder.resolve(), world_name)
    texts = {
        folder / "models" / airframe.name / "model.sdf": model(airframe),
        folder / "models" / airframe.name / "model.config": _text(config),
        folder / "worlds" / f"{world_name}.sdf": world(world_name, speed, wind),
        folder / "px4.env": "".join(f"export {name}='{value}'\n" for name, value in variables.items()),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(texts)


def _add(parent, tag, text=None, **attributes):
    element = ElementTree.SubElement(parent, tag, attributes)
    if text is not None:
        element.text = f"{text:.9g}" if isinstance(text, float) else str(text)
    return element


def _inertial(link, mass, inertia):
    inertial = _add(link, "inertial")
    _add(inertial, "mass", float(mass))
    tensor = _add(inertial, "inertia")
    for axis, value in zip(("ixx", "iyy", "izz"), inertia, strict=True):
        _add(tensor, axis, float(value))


def _rotor_inertia(mass, size):
    """Inertia (kg m^2) of a thin rod of a rotor's length about its middle."""
    length = 0.8 * size[0]
    return (1e-3 * mass * length**2, mass * length**2 / 12, mass * length**2 / 12)


def _box(link, kind, size, lift=0.0):
    part = _add(link, kind, name=f"{link.get('name')}_{kind}")
    if lift:
        _add(part, "pose", f"0 0 {lift:g} 0 0 0")
    _add(_add(_add(part, "geometry"), "box"), "size", " ".join(f"{side:.4g}" for side in size))


def _noisy(sensor, kind, noise):
    """Gaussian noise in each of the quantities (paths of elements below the sensor's own)."""
    own = _add(sensor, kind) if noise else None
    for path, deviation in noise.items():
        element = own
        for tag in path.split("/"):
            found = element.find(tag)
            element = _add(element, tag) if found is None else found
        gauss = _add(element, "noise", type="gaussian")
        _add(gauss, "mean", 0)
        _add(gauss, "stddev", deviation)


def _text(root) -> str:
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
