"""Faults of the supervisor, of the computer that it runs on, and of starting and ending the stack.

- the supervisor dies or is not scheduled, the whole computer is busy: a failsafe always takes over
- the stack is ended in the air, or started there; the operator asks for what must not be done
"""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from reactions import FAILSAFE
from rehearsal import GUIDE, HOLD, LAND_MODE, LOITER_MODE, SILENT
from spike_ctrl_msgs.msg import AutopilotStatus

from spike_ctrl_ros.convert import nanoseconds

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.proves("19L", "19S")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_a_supervisor_the_autopilot_lands(flight, reaction, number):
    flight.kill("supervisor") if number == signal.SIGKILL else flight.signal("supervisor", number)
    begin = time.time()
    flight.until(lambda: flight.station.mode == LAND_MODE, 3, "no failsafe")
    reaction(flight.station.modes[-1][0] - flight.signalled, FAILSAFE, "from the loss to the autopilot's mode LAND")
    flight.until(lambda: flight.failsafes(flight.signalled), 2, "the vehicle says nothing of it")
    flight.station.set_mode(LOITER_MODE)  # a pilot keeps it in the air
    flight.until(lambda: flight.station.mode == LOITER_MODE, 3)
    assert flight.stamps(since=begin + 0.1) == [] and flight.graph.process.poll() is None
    if number == signal.SIGSTOP:  # on waking it knows better than to go on
        flight.signal("supervisor", signal.SIGCONT)
        since = len(flight.status)
        flight.until(lambda: len(flight.status) > since + 1 and flight.rung in (HOLD, SILENT), 5)
        told = 1e-9 * nanoseconds(flight.status[-1].header.stamp)
        flight.until(lambda: len(flight.status) > since + 2, 5)
        assert flight.stamps(since=told) == [] and flight.station.mode == LOITER_MODE


@pytest.mark.proves("30S")
def test_a_supervisor_that_is_not_scheduled_hands_over_to_the_autopilot(flight, reaction):
    since, clock = len(flight.status), time.monotonic()
    flight.signal("supervisor", signal.SIGSTOP)
    time.sleep(0.14)  # longer than its limit of .1 s, shorter than the autopilot's of .2 s
    flight.signal("supervisor", signal.SIGCONT)
    flight.until(lambda: flight.told("SNN -> HOLD: STARVED", since), 5)
    flight.until(lambda: flight.station.mode == LOITER_MODE, 3)
    reaction(flight.station.modes[-1][0] - clock, 0.4, "from its last command to the autopilot's mode HOLD")
    assert not flight.failsafes(clock)


STRESS = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
if sys.argv[2] != "0":
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(int(sys.argv[2])))
while True:
    end = time.monotonic() + 0.03
    while time.monotonic() < end:
        pass
    time.sleep(0.01)
"""


@pytest.mark.proves("30L")
def test_a_starved_computer_leads_down_before_the_autopilots_time_out(flight, reaction):
    since, clock = len(flight.status), time.monotonic()
    priority = 42 if flight.real_time else 0  # between the vehicle and the nodes
    cpus = sorted(os.sched_getaffinity(0)) * (1 if flight.real_time else 4)
    hogs = [flight.start(sys.executable, "-c", STRESS, cpu, priority) for cpu in cpus]
    flight.until(lambda: flight.rung in (GUIDE, HOLD), 15, "the policy flies on")
    for hog in hogs:
        hog.kill()
    reaction(time.monotonic() - clock, 15.0, "until GUIDE or HOLD, with both processors taken for 30 of 40 ms")
    reasons = " ".join(event for status in flight.status[since:] for event in status.events)
    lateness = "POLICY_MISSES|POLICY_SILENT|STATE_LATE|STREAM_STOPPED|STARVED|GUIDE_SILENT|STATE_LOST"
    assert re.search(lateness, reasons), reasons
    assert not flight.failsafes(clock)


@pytest.mark.proves("44L", "44S")
def test_a_stack_that_starts_in_the_air_stays_passive_until_it_is_asked(flight):
    flight.graph.kill()
    flight.killed |= {*flight.started}
    for program in flight.restarted.values():
        program.kill()
    flight.restarted.clear()
    flight.until(lambda: flight.station.mode == LAND_MODE, 3, "no failsafe")
    flight.station.set_mode(LOITER_MODE)
    flight.until(lambda: not flight.publishers("command"), 10)
    flight.status.clear()
    flight.commands.clear()
    flight.graph = flight.launch()
    flight.killed.clear()
    flight.until(lambda: flight.told("STARTED_IN_THE_AIR"), 40)
    flight.stays(SILENT, 1.5)
    assert not flight.commands and flight.station.mode == LOITER_MODE
    flight.ask_until_granted("guide")


@pytest.mark.proves("43L", "43S")
def test_ctrl_c_in_the_air_lands_before_the_stack_ends(flight, hangar, reaction):
    clock = time.monotonic()
    flight.graph.process.send_signal(signal.SIGINT)
    for program in flight.restarted.values():
        program.process.send_signal(signal.SIGINT)
    flight.until(lambda: flight.told("SNN -> LAND: the operator asked to shut down"), 5)
    flight.until(lambda: flight.station.mode == LAND_MODE, 3)
    reaction(flight.station.modes[-1][0] - clock, 0.5, "from Ctrl-C to the autopilot's mode LAND")
    flight.until(lambda: flight.graph.process.poll() is not None, 20)
    flight.killed |= {*flight.started}
    assert not flight.failsafes(clock)
    flight.until(lambda: "Disarmed by landing" in flight.vehicle.lines[-1] or "disarmed" in flight.vehicle.lines[-1], 40)
    hangar.kind = None
    flight.summary()


@pytest.mark.proves("45L")
def test_impossible_requests_are_refused_with_all_reasons_and_the_preflight_warns(hangar):
    flight = hangar.new(NAV_DLL_ACT=0)
    refused = flight.ask("take_off")
    assert not refused.success and "refused to take off: " in refused.message and ";" in refused.message
    assert "passive: arms and engages when asked to" in flight.graph.output
    flight.until(lambda: "the vehicle is not in the air: take off first" in flight.ask("engage").message, 20)
    flight.until(lambda: "preflight: NAV_DLL_ACT: found 0, wanted more than 0" in flight.graph.output, 20)  # row 32
    assert flight.autopilot.mode != AutopilotStatus.OFFBOARD and not flight.commands


@pytest.mark.installed
@pytest.mark.proves("24L")
def test_a_model_for_another_vehicle_ends_the_launch_with_one_line(hangar):
    flight = hangar.new(f"model:={MODELS / 'crazyflie.safetensors'}")
    assert flight.graph.process.wait(60) in (1, 2)  # of the policy or of the supervisor: both refuse it
    assert "model: airframe_hash: found" in flight.graph.output and "Traceback" not in flight.graph.output


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("rate:=500.0", "parameter 'rate': found 500.0, wanted 50 to 125"),
        ("cage:=1,2,3", "cage: found '1,2,3', wanted x,y,z,x,y,z or absolute:x,y,z,x,y,z in m"),
        ("trajectory:=spiral", "trajectory: found 'spiral', wanted KIND"),
        ("trajectory:=step:4", "trajectory step: found a jump of 4.00 m, wanted at most 3.60"),
    ],
)
@pytest.mark.proves("41L")
def test_a_parameter_out_of_range_ends_the_launch_with_its_name(hangar, argument, words):
    flight = hangar.new(argument)
    assert flight.graph.process.wait(60) in (1, 2)
    assert words in flight.graph.output and "Traceback" not in flight.graph.output


def test_the_automatic_flight_succeeds_and_its_figures_are_printed(hangar):
    flight = hangar.new("auto:=true", "duration:=4", "trajectory:=circle", "size:=0.3", "period:=6")
    assert flight.graph.process.wait(90) == 0, flight.graph.output
    found = re.search(r"policy: RMSE ([\d.]+) m, worst .* deadline misses (\d+); spike rate ([\d.]+)", flight.graph.output)
    assert found and float(found[1]) < 0.2 and 0.01 < float(found[3]) < 0.6
    flight.summary()
