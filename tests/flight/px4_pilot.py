"""A pilot with a ground station and a remote control, and a flight beside PX4 whose mode SNN the pilot may choose."""

import os
import re
import signal
import threading
import time

import numpy as np
import rclpy
from output import executable
from programs import Program, Station, nodes
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl.px4 import dialect
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_uxrce import px4_mode
from spike_ctrl_uxrce.mode_link import versioned
from spike_ctrl_uxrce.uxrce_link import fitting

GROUND_STATION, HEIGHT = 14550, 1.2
FLIGHT = {
    "link": "uxrce_mode", "realtime": "true", "record": "false", "setpoint": "0,0,1.2", "trajectory": "hover,figure8:1:8",
    "duration": "16",
}  # fmt: skip


class Pilot(Station):
    """A ground station with a remote control, whose channels it sends ten times a second once `channels` is set."""

    def __init__(self):
        super().__init__(None, GROUND_STATION)
        self.armed, self.channels, self.parameters, self._beat, self._sticks = False, None, {}, 0.0, 0.0
        self.printed, self.events = "", set()  # by the last launch; numbers of PX4's events
        self.names = {}  # of the modes that PX4 lists

    def listen(self):
        super().listen()
        now = time.monotonic()
        if self._remote is None:
            return
        if now - self._beat > 1.0:
            self._beat = now
            kind = mavlink.MAV_TYPE_GCS, mavlink.MAV_AUTOPILOT_INVALID
            self.say(mavlink.MAVLink_heartbeat_message(*kind, 0, 0, mavlink.MAV_STATE_ACTIVE, 3))
        if self.channels is not None and now - self._sticks > 0.05:
            self._sticks = now
            self.say(mavlink.MAVLink_rc_channels_override_message(1, 1, *self.channels))

    def _take(self, message):
        super()._take(message)
        if message.get_type() == "HEARTBEAT" and message.get_srcComponent() == 1:
            self.armed = bool(message.base_mode & mavlink.MAV_MODE_FLAG_SAFETY_ARMED)
        elif message.get_type() == "AVAILABLE_MODES":
            self.names[message.custom_mode] = message.mode_name
        elif message.get_type() == "UNKNOWN_410":  # EVENT, which pymavlink does not know
            self.events.add(int.from_bytes(message.data[10:14], "little"))
        elif message.get_type() == "PARAM_VALUE":
            self.parameters[message.param_id] = dialect.parameter_from_wire(message.param_value, message.param_type)

    def set(self, **values):
        for name, value in values.items():
            wire, kind = dialect.parameter_to_wire(value)
            for _ in range(20):
                self.say(mavlink.MAVLink_param_set_message(1, 1, name.encode(), wire, kind))
                if self.wait(lambda: abs(self.parameters.get(name, np.nan) - value) < 1e-6, 0.5):  # noqa: B023
                    break
            else:
                raise TimeoutError(f"{name}: not set")

    def wait(self, condition, seconds):
        """Whether it became true in that time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.listen()
            time.sleep(0.002)
        return True

    def must(self, what, condition, seconds):
        if not self.wait(condition, seconds):
            raise TimeoutError(f"{what}: not within {seconds:g} s")

    def spend(self, seconds):
        self.wait(lambda: False, seconds)

    @property
    def height(self):
        return self.truth[-1].position[2] if self.truth else 0.0

    def changed_after(self, moment, modes):
        """s from this moment until PX4 changed to one of these modes, and the mode."""
        self.must(f"PX4 in {modes}", lambda: any(at > moment and mode in modes for at, mode in self.modes), 10.0)
        at, mode = next((at, mode) for at, mode in self.modes if at > moment and mode in modes)
        return at - moment, PX4Mode(mode).name


class Flight:
    """A launch beside the PX4 that runs, and the pilot."""

    def __init__(self, pilot, **arguments):
        self.pilot = pilot
        words = [f"{name}:={value}" for name, value in (FLIGHT | {"remote_control": "false"} | arguments).items()]
        self.launch = Program([executable("spike-ctrl"), "launch", "flight", *words])

    def says(self, pattern, seconds=60.0):
        """The match, as soon as the launch prints it."""
        self.pilot.must(f"'{pattern}'", lambda: re.search(pattern, self.launch.output), seconds)
        return re.search(pattern, self.launch.output)

    def listed(self):
        """The mode in MAVLink, once PX4 lists it and would arm in it."""
        number = int(self.says(r"PX4 lists the mode SNN as external mode (\d)")[1])
        self.pilot.must("SNN: ready", lambda: any(text == "SNN: ready" for _, text in self.pilot.said), 60.0)
        mode = px4_mode.ModePlace(px4_mode.FIRST + number - 1, 0).custom_mode
        self.pilot.names.clear()
        for _ in range(5):
            self.pilot.command(mavlink.MAV_CMD_REQUEST_MESSAGE, mavlink.MAVLINK_MSG_ID_AVAILABLE_MODES, 0)
            if self.pilot.wait(lambda: self.pilot.names.get(mode) == px4_mode.NAME, 2.0):
                return mode
        raise TimeoutError(f"PX4 lists {self.pilot.names}")

    def take_off(self):
        """By PX4 itself."""
        for _ in range(10):
            self.pilot.set_mode(PX4Mode.AUTO_TAKEOFF)
            self.pilot.spend(0.5)
            self.pilot.command(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, 1)
            if self.pilot.wait(lambda: self.pilot.armed, 2.0):
                break
        self.pilot.must("the take-off", lambda: self.pilot.height > HEIGHT and self.pilot.mode == PX4Mode.AUTO_LOITER, 40.0)
        self.pilot.spend(3.0)

    def engaged(self):
        """The policy flies after the pilot has chosen the mode in the air."""
        mode = self.listed()
        self.take_off()
        self.choose(lambda: self.pilot.set_mode(mode), mode)
        self.says("GUIDE -> SNN", 20.0)
        self.pilot.spend(5.0)
        return mode

    def choose(self, how, mode):
        """Choose the mode until PX4 takes it: a reset of its estimator in the take-off bars it for 10 s."""
        for _ in range(20):
            how()
            if self.pilot.wait(lambda: self.pilot.mode == mode, 2.0):
                return time.monotonic()
        raise TimeoutError("PX4 does not take the mode")

    def kill(self, node):
        os.kill(nodes([self.launch.process.pid])[node].process, signal.SIGKILL)
        return time.monotonic()

    def land(self):
        """Land, and wait for it. Gives the touch-down speed (m/s)."""
        pilot = self.pilot
        if pilot.armed and pilot.mode not in (PX4Mode.AUTO_LAND, PX4Mode.AUTO_RTL):
            pilot.set_mode(PX4Mode.AUTO_LAND)
        pilot.must("disarmed", lambda: not pilot.armed, 90.0)
        return max((-row.velocity[2] for row in pilot.truth if row.position[2] < 0.1), default=0.0)

    def listed_again(self, before):
        """PX4 lists the mode in a line after the first `before` ones."""
        again = lambda: any("PX4 lists the mode" in line for line in self.launch.lines[before:])  # noqa: E731
        self.pilot.must("PX4 lists the mode again", again, 60.0)

    def farthest(self):
        """m from where the policy began, by the truth, while in the air."""
        aloft = np.array([row.position for row in self.pilot.truth if row.position[2] > 0.5])
        return np.linalg.norm(aloft[:, :2] - aloft[0, :2], axis=1).max() if len(aloft) else 0.0

    def end(self):
        code = self.launch.end(seconds=120.0)
        self.pilot.printed = self.launch.output
        return code


class Registry:
    """Hears where PX4 registers a mode, and can have PX4 forget it."""

    def __init__(self):
        rclpy.init()
        self.node, self.place = rclpy.create_node("registry"), None
        kinds = fitting("1.17", px4_mode.fields("1.17"))
        reply, self.farewell = kinds["RegisterExtComponentReply"], kinds["UnregisterExtComponent"]
        self.node.create_subscription(reply, px4_mode.OUT + versioned(px4_mode.REPLY, reply), self.on_reply, qos.STREAM)
        topic = px4_mode.IN + versioned(px4_mode.UNREGISTER, self.farewell)
        self.out = self.node.create_publisher(self.farewell, topic, qos.STREAM)
        self.thread = threading.Thread(target=rclpy.spin, args=(self.node,), daemon=True)
        self.thread.start()

    def on_reply(self, message):
        self.place = px4_mode.ModePlace(message.mode_id, message.arming_check_id)

    def forget(self):
        self.out.publish(fill(self.farewell(), **px4_mode.farewell(self.place)))

    def close(self):
        rclpy.shutdown()
        self.thread.join()
