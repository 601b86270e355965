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
- forgotten: PX4 is told to forget the mode while the policy flies; afterwards, on the ground, PX4 lists it again
- satellites: PX4's receiver loses all of them while the policy flies

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

from output import children, executable
from programs import Program, nodes
from px4_pilot import Flight, Pilot, Registry
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl_uxrce import px4_mode

AGENT_PORT = "8888"
OWN = {PX4Mode.AUTO_LOITER, PX4Mode.AUTO_RTL, PX4Mode.AUTO_LAND}  # in which PX4 flies by itself
REMOTE = {"RC_MAP_ROLL": 1, "RC_MAP_PITCH": 2, "RC_MAP_THROTTLE": 3, "RC_MAP_YAW": 4, "RC_MAP_FLTMODE": 5, "RC_CHAN_CNT": 8}


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
        flight.listed_again(before)
        return f"{mode} after {seconds:.2f} s; touch-down {speed:.2f} m/s; listed again"
    finally:
        flight.end()


def forgotten(pilot):
    registry, flight = Registry(), Flight(pilot)
    try:
        flight.engaged()
        before, moment = len(flight.launch.lines), time.monotonic()
        registry.forget()
        seconds, mode = pilot.changed_after(moment, OWN)
        flight.says("-> SILENT", 5.0)
        pilot.spend(3.0)
        off, speed = flight.farthest(), flight.land()
        flight.listed_again(before)
        return f"{mode} after {seconds:.2f} s; at most {off:.1f} m off; touch-down {speed:.2f} m/s; listed again"
    finally:
        registry.close()
        flight.end()


def satellites(pilot):
    def strike(flight):
        moment = time.monotonic()
        pilot.set(SIM_GPS_USED=0)
        return moment

    try:
        return struck(pilot, strike, OWN | {PX4Mode.ALTITUDE, PX4Mode.STABILIZED})
    finally:
        pilot.set(SIM_GPS_USED=10)
        pilot.spend(10.0)


SCENARIOS = {
    run.__name__: run
    for run in (auto, command, stick, refused, policy, supervisor, bridge, hang, computer, agent, forgotten, satellites)
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
