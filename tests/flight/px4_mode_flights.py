"""Flights on PX4's own firmware (SIH) in the mode SNN that PX4 lists: every node a process, PX4, agent and a ground station.

    export PYTHONPATH=tests/oracles
    python tests/flight/px4_mode_flights.py --px4 ~/PX4-Autopilot --agent MicroXRCEAgent            # all, once
    python tests/flight/px4_mode_flights.py --px4 ~/PX4-Autopilot --agent MicroXRCEAgent command stick --rounds 3

- auto: the supervisor arms in the mode, takes off, flies hover and figure-eight, lands
- command: a pilot takes off with PX4, chooses the mode by MAVLink's command, and leaves it by another one
- stick: the same by the mode switch of a remote control; then its sticks take over
- refused: PX4 does not arm in the mode while the preflight is unmet
- policy, supervisor, bridge: killed while the policy flies
- hang: the bridge is stopped for 3 s
- computer: the whole stack is killed at once, its guard too: only PX4's own failsafe is left
- agent: the agent is killed; afterwards, on the ground, PX4 lists the mode again

px4_msgs must be sourced; see docs/uxrce.md. A line for each flight says what was seen; the exit code is the number of those
that did not end as they must.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from output import children, executable
from programs import Program, Station, nodes
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl.px4 import dialect
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl_uxrce import px4_mode

GROUND_STATION, HEIGHT, AGENT_PORT = 14550, 1.2, "8888"
OWN = {PX4Mode.AUTO_LOITER, PX4Mode.AUTO_RTL, PX4Mode.AUTO_LAND}  # in which PX4 flies by itself
FLIGHT = {
    "link": "uxrce_mode", "realtime": "true", "record": "false", "setpoint": "0,0,1.2", "trajectory": "hover,figure8:1:8",
    "duration": "16",
}  # fmt: skip
REMOTE = {"RC_MAP_ROLL": 1, "RC_MAP_PITCH": 2, "RC_MAP_THROTTLE": 3, "RC_MAP_YAW": 4, "RC_MAP_FLTMODE": 5, "RC_CHAN_CNT": 8}


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

    def farthest(self):
        """m from where the policy began, by the truth, while in the air."""
        aloft = np.array([row.position for row in self.pilot.truth if row.position[2] > 0.5])
        return np.linalg.norm(aloft[:, :2] - aloft[0, :2], axis=1).max() if len(aloft) else 0.0

    def end(self):
        code = self.launch.end(seconds=120.0)
        self.pilot.printed = self.launch.output
        return code


def auto(pilot):
    flight = Flight(pilot, auto="true")
    code = flight.launch.process.wait(240)
    flight.end()
    assert code == 0 and "GUIDE -> SNN" in flight.launch.output, f"exit code {code}"
    return "rc 0; " + "; ".join(re.findall(r"RMSE.*", flight.launch.output))[:80]


def command(pilot):
    flight = Flight(pilot)
    try:
        mode = flight.engaged()
        chosen = next(at for at, found in pilot.modes if found == mode)
        left = time.monotonic()
        pilot.set_mode(PX4Mode.AUTO_LOITER)
        flight.says("-> SILENT", 5.0)
        yielded = time.monotonic() - left
        pilot.spend(3.0)
        return f"flew {left - chosen:.1f} s; yielded {yielded:.2f} s after HOLD; touch-down {flight.land():.2f} m/s"
    finally:
        flight.end()


def stick(pilot):
    pilot.set(**REMOTE, COM_RC_IN_MODE=0, COM_FLTMODE1=4, COM_FLTMODE6=100, COM_RC_OVERRIDE=3, COM_RCL_EXCEPT=0)
    pilot.channels = [1500] * 4 + [1000, 1500, 1500, 1500]
    flight = Flight(pilot, remote_control="true")
    try:
        mode = flight.listed()
        pilot.set(COM_FLTMODE6=100 + (mode >> 24) - px4_mode.FIRST_SUB)
        flight.take_off()
        flight.choose(lambda: turn(pilot), mode)
        entered = next(at for at, found in pilot.modes if at > pilot.turned and found == mode) - pilot.turned
        flight.says("GUIDE -> SNN", 20.0)
        pilot.spend(5.0)
        moment = time.monotonic()
        pilot.channels[0] = 1900
        taken = pilot.changed_after(moment, {PX4Mode.POSITION})
        pilot.channels[0] = 1500
        pilot.channels[4] = 1000
        flight.says("-> SILENT", 5.0)
        pilot.spend(3.0)
        (seconds, found), speed = taken, flight.land()
        return f"entered {entered:.2f} s after the switch; sticks: {found} after {seconds:.2f} s; touch-down {speed:.2f} m/s"
    finally:
        pilot.channels = None
        flight.end()
        pilot.set(RC_MAP_FLTMODE=0)
        subprocess.run([executable("spike-ctrl"), "preflight", "--no-remote-control", "--set"], capture_output=True)


def turn(pilot):
    """The mode switch, from hold to the mode."""
    pilot.channels[4] = 1000
    pilot.spend(0.5)
    pilot.turned, pilot.channels[4] = time.monotonic(), 2000


def refused(pilot):
    pilot.set(COM_OF_LOSS_T=1.0)
    pilot.events.clear()
    flight = Flight(pilot)
    try:
        number = int(flight.says(r"PX4 lists the mode SNN as external mode (\d)")[1])
        pilot.must("the reason", lambda: any("COM_OF_LOSS_T" in text for _, text in pilot.said), 60.0)
        pilot.set_mode(px4_mode.ModePlace(px4_mode.FIRST + number - 1, 0).custom_mode)
        pilot.spend(2.0)
        pilot.command(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, 1)
        armed = pilot.wait(lambda: pilot.armed, 3.0)
        before = len(pilot.said)
        pilot.set(COM_OF_LOSS_T=0.2)
        pilot.must("SNN: ready", lambda: any(text == "SNN: ready" for _, text in pilot.said[before:]), 60.0)
        assert not armed, "PX4 armed"
        assert px4_mode.event_id(px4_mode.UNMET_EVENT) in pilot.events, f"events {sorted(pilot.events)}"
        texts = [text for _, text in pilot.said if "SNN" in text or "rm" in text]
        return f"not armed; {' | '.join(dict.fromkeys(texts))}"
    finally:
        flight.end()


def struck(pilot, strike, modes):
    """A flight in which `strike` kills something while the policy flies."""
    flight = Flight(pilot)
    try:
        flight.engaged()
        moment = strike(flight)
        seconds, mode = pilot.changed_after(moment, modes)
        tilted = flight.farthest()
        return f"{mode} after {seconds:.2f} s; at most {tilted:.1f} m off; touch-down {flight.land():.2f} m/s"
    finally:
        flight.end()


def policy(pilot):
    flight = Flight(pilot)
    try:
        mode = flight.engaged()
        moment = flight.kill("snn_policy")
        flight.says("SNN -> GUIDE", 5.0)
        taken = time.monotonic() - moment
        pilot.spend(3.0)
        still = "still in the mode" if pilot.mode == mode else f"then {pilot.mode}"
        return f"the guide flew after {taken:.2f} s, {still}; touch-down {flight.land():.2f} m/s"
    finally:
        flight.end()


def supervisor(pilot):
    return struck(pilot, lambda flight: flight.kill("supervisor"), OWN)


def bridge(pilot):
    return struck(pilot, lambda flight: flight.kill("vehicle_bridge"), OWN)


def hang(pilot):
    def strike(flight):
        process = nodes([flight.launch.process.pid])["vehicle_bridge"].process
        os.kill(process, signal.SIGSTOP)
        threading.Timer(3.0, os.kill, (process, signal.SIGCONT)).start()
        return time.monotonic()

    return struck(pilot, strike, OWN)


def computer(pilot):
    def strike(flight):
        running = [node.process for node in nodes([flight.launch.process.pid]).values()]
        guards = [child for node in running for child in children(node)]
        moment = time.monotonic()
        for process in (*guards, *running):
            os.kill(process, signal.SIGKILL)
        return moment

    return struck(pilot, strike, OWN)


def agent(pilot):
    flight = Flight(pilot)
    try:
        flight.engaged()
        moment = time.monotonic()
        pilot.agent.kill()
        seconds, mode = pilot.changed_after(moment, OWN)
        speed = flight.land()
        pilot.agent, before = pilot.start_agent(), len(flight.launch.lines)
        again = lambda: any("PX4 lists the mode" in line for line in flight.launch.lines[before:])  # noqa: E731
        pilot.must("PX4 lists the mode again", again, 60.0)
        return f"{mode} after {seconds:.2f} s; touch-down {speed:.2f} m/s; listed again"
    finally:
        flight.end()


SCENARIOS = {
    run.__name__: run for run in (auto, command, stick, refused, policy, supervisor, bridge, hang, computer, agent)
}  # fmt: skip


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--px4", type=Path, required=True, metavar="DIR", help="where PX4 is built")
    parser.add_argument("--agent", default="MicroXRCEAgent", metavar="PROGRAM", help="eProsima's agent")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/px4_mode"), metavar="DIR")
    options = parser.parse_args(words)
    options.output.mkdir(parents=True, exist_ok=True)
    command_line = executable("spike-ctrl")
    pilot, failed, flights = Pilot(), 0, 0
    pilot.start_agent = lambda: Program([options.agent, "udp4", "-p", AGENT_PORT])
    pilot.agent = pilot.start_agent()
    px4 = Program([command_line, "px4", "sih", "--px4", options.px4])
    try:
        pilot.must("PX4", lambda: pilot.truth, 60.0)
        subprocess.run([command_line, "preflight", "--no-remote-control", "--set"], capture_output=True)
        pilot.set(MIS_TAKEOFF_ALT=1.5)
        for _ in range(options.rounds):
            for name in options.scenarios or SCENARIOS:
                flights += 1
                pilot.truth.clear(), pilot.modes.clear(), pilot.said.clear()
                pilot.set_mode(PX4Mode.AUTO_LOITER)  # in Position PX4 wants a remote control before it arms
                try:
                    said = SCENARIOS[name](pilot)
                except (AssertionError, TimeoutError, KeyError, StopIteration) as error:
                    failed += 1
                    said = f"FAILED: {type(error).__name__}: {error}"
                    pilot.wait(lambda: not pilot.armed, 60.0)
                texts = "\n".join(f"{at:.2f} {text}" for at, text in pilot.said)
                (options.output / f"{flights:02d}_{name}.txt").write_text(
                    f"{said}\n{pilot.modes}\n{texts}\n{pilot.printed}\n"
                )
                print(f"{name}: {said}", flush=True)
    finally:
        (options.output / "px4.txt").write_text(px4.output)
        px4.end()
        pilot.agent.kill()
    print(f"{flights - failed} of {flights} flights ended as they must")
    return failed


if __name__ == "__main__":
    sys.exit(main())
