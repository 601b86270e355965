"""The app for the Crazyflie's firmware, compiled against a stand-in of its headers, and flown at 1000 Hz on our dynamics."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics
from spike_ctrl_export import write_files

STANDIN = Path(__file__).resolve().parents[1] / "crazyflie_standin"
HEADERS = (
    "FreeRTOS",
    "app",
    "controller",
    "controller_pid",
    "log",
    "param",
    "pm",
    "queue",
    "static_mem",
    "task",
    "usec_time",
)
THRUST_MAX = 0.12
HOVER = np.array([0.0, 0.0, 1.0])


def numbers(*names):
    return [(name, ctypes.c_float) for name in names]


class Vector(ctypes.Structure):
    _fields_ = numbers("x", "y", "z")


class Attitude(ctypes.Structure):
    _fields_ = numbers("roll", "pitch", "yaw")


class Quaternion(ctypes.Structure):
    _fields_ = numbers("x", "y", "z", "w")


class Sensors(ctypes.Structure):
    _fields_ = [("acc", Vector), ("gyro", Vector)]


class State(ctypes.Structure):
    _fields_ = [("attitude", Attitude), ("quaternion", Quaternion), ("position", Vector), ("velocity", Vector)]


class Modes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("x", "y", "z", "roll", "pitch", "yaw", "quat")]


class Setpoint(ctypes.Structure):
    _fields_ = [
        ("attitude", Attitude), ("quaternion", Quaternion), ("thrust", ctypes.c_float), ("position", Vector),
        ("velocity", Vector), ("mode", Modes),
    ]  # fmt: skip


class Control(ctypes.Structure):
    class Command(ctypes.Union):
        class Legacy(ctypes.Structure):
            _fields_ = [(name, ctypes.c_int16) for name in ("roll", "pitch", "yaw")] + numbers("thrust")

        _fields_ = [("legacy", Legacy), ("wrench", ctypes.c_float * 4)]

    _fields_ = [("command", Command), ("mode", ctypes.c_int)]


def compiled(folder, made):
    """The app that `crazyflie_app.app` made, compiled into the library app.so in a folder, with all warnings as errors."""
    write_files(folder, made)
    for name in HEADERS:
        (folder / f"{name}.h").write_text('#include "standin.h"\n')
    (folder / "debug.h").write_text("")
    sources = [*(folder / "src").glob("*.c"), STANDIN / "standin.c"]
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    includes = [f"-I{path}" for path in (folder / "src", folder, STANDIN)]
    subprocess.run(["gcc", *flags, *includes, *map(str, sources), "-lm", "-o", str(folder / "app.so")], check=True)
    return folder / "app.so"


def hover_setpoint(position=HOVER, yaw=0.0):
    setpoint = Setpoint(position=Vector(*position), attitude=Attitude(0, 0, yaw))
    setpoint.mode.x = setpoint.mode.y = setpoint.mode.z = setpoint.mode.yaw = 1
    return setpoint


def distributed(wrench):
    """Thrusts (4) of the motors, N, by the firmware's mixer for collective thrust and torques (controlModeForceTorque)."""
    thrust, roll, pitch, yaw = np.array(wrench) / (1, 0.707106781 * 0.046, 0.707106781 * 0.046, 0.007350862856566459) / 4
    return np.array(
        [thrust - roll - pitch - yaw, thrust - roll + pitch + yaw, thrust + roll + pitch - yaw, thrust + roll - pitch + yaw]
    )


class Flight:
    """The app in the loop at 1000 Hz. The stock controller is a cascade of our own, in the units of the firmware's."""

    def __init__(self, app, craft, position=HOVER):
        self.app, self.craft = app, craft
        self.buffer, self.extension = dynamics.allocate(1, craft), dynamics.extension(craft, 1e-3, fails=True)
        dynamics.write(self.buffer, slice(0, 3), [position])
        dynamics.write(self.buffer, dynamics.ROTOR_ROWS, np.full((1, 4), craft.hover))
        self.setpoint, self.control, self.tick = hover_setpoint(), Control(), 0
        self.answers, self.broken, self.stock_lifts = True, False, True
        self.stock = Control.in_dll(app, "stock")
        for name, kind in (("enable", ctypes.c_uint8), ("phase", ctypes.c_uint8), ("fault", ctypes.c_uint8)):
            getattr(app, f"at_{name}").restype = ctypes.POINTER(kind)
        app.at_spikes.restype = ctypes.POINTER(ctypes.c_float)
        app.controllerOutOfTreeInit()

    def read(self, name):
        return getattr(self.app, f"at_{name}")()[0]

    def enable(self, value=1):
        self.app.at_enable()[0] = value

    def state(self):
        return dynamics.read(self.buffer, dynamics.STATE_ROWS, 1)[0].astype(float)

    def lose(self, rotor, share):
        """Rotor number `rotor` loses this share of its thrust from now on."""
        dynamics.lose_rotor(self.buffer, rotor, share)

    def fly(self, seconds):
        """Fly on. Gives positions (ticks, 3) and phases (ticks,)."""
        positions, phases = [], []
        for _ in range(round(seconds * 1000)):
            s = self.state()
            thrust, self.moments = self._cascade(s)
            self.stock.command.legacy.thrust = thrust if self.stock_lifts else 0.0
            x = np.nan if self.broken else s[0]
            state = State(
                quaternion=Quaternion(*s[3:7]), position=Vector(x, s[1], s[2]), velocity=Vector(*s[7:10])
            )  # fmt: skip
            sensors = Sensors(gyro=Vector(*np.degrees(s[10:13])))
            self.app.controllerOutOfTree(*map(ctypes.byref, (self.control, self.setpoint, sensors, state)), self.tick)
            if self.answers and self.tick % 10 == 3:  # the task needs 3 ms
                self.app.snn_answer_one()
            dynamics.write(self.buffer, dynamics.COMMAND_ROWS, [self._speeds()])
            dynamics.step(self.buffer, np.float32(1e-3), dynamics.geometry(self.craft), self.extension)
            self.tick += 1
            positions.append(self.state()[:3])
            phases.append(self.read("phase"))
        return np.array(positions), np.array(phases)

    def _cascade(self, s):
        wanted = np.array([self.setpoint.position.x, self.setpoint.position.y, self.setpoint.position.z])
        push = np.clip(6.0 * (wanted - s[:3]) - 4.0 * s[7:10], -3, 3) + np.array([0, 0, airframe.GRAVITY])
        x, y, z, w = s[3:7]
        up = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        tilt = np.cross(up, push / np.linalg.norm(push))  # world; yaw stays near 0
        return 65535 * self.craft.mass * (push @ up) / 4 / THRUST_MAX, 200 * tilt - 20 * s[10:13]

    def _speeds(self):
        """Rotor speeds that give the commanded thrusts."""
        if self.control.mode == 1:
            thrust = distributed(self.control.command.wrench)
        else:
            arm, inertia = np.abs(self.craft.rotor_x[0]), self.craft.inertia
            x, y, z = self.moments * inertia
            turn = np.array([-x - y, -x + y, x + y, x - y]) / (4 * arm)  # front-right, back-right, back-left, front-left
            thrust = self.control.command.legacy.thrust / 65535 * THRUST_MAX + turn
            thrust = thrust + np.array([-1, 1, -1, 1]) * z / (4 * self.craft.torque_per_thrust)
        c0, c1, c2 = self.craft.thrust_curve
        return np.clip((-c1 + np.sqrt(np.maximum(c1 * c1 - 4 * c2 * (c0 - thrust), 0))) / (2 * c2), 0, 1)


def error(flight, positions):
    wanted = np.array([flight.setpoint.position.x, flight.setpoint.position.y, flight.setpoint.position.z])
    return np.linalg.norm(positions - wanted, axis=1)
