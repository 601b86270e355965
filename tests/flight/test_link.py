"""Faults of the link to the autopilot: a process between vehicle and bridge tampers with the states. The link is signed.

- states stop, are late, are NaN, have a wrong time: GUIDE, then HOLD; never a command on a bad state
- states, commands or both come later from now on: HOLD
- states that come together are replayed as they were flown: the policy steps on the newest alone
- noise, damaged, unsigned, wrongly signed and replayed packets are counted and change nothing
- the ground station is lost: the autopilot acts, and the stack yields
"""

import re
import signal
import subprocess
import time
from itertools import pairwise

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink
from reactions import FAILSAFE, hand_over_gap, intervals
from rehearsal import GUIDE, HOLD, LAND_MODE, LOITER_MODE, SILENT, SNN, SPIKE_CTRL
from spike_ctrl_msgs.msg import AutopilotStatus, FlightCommand, VehicleState


def tampered(flight, manner):
    """The number of status messages, and the time (s since 1970, and monotonic), before a fault."""
    before = (len(flight.status), time.time(), time.monotonic())
    flight.link.tell(manner)
    return before


def descended(flight, since, *words):
    """Assert that the supervisor went down for one of these reasons and reported it."""
    flight.until(lambda: [w for w in words if flight.told(w, since)], 5, f"none of {words}")


@pytest.mark.proves("1L")
def test_states_that_stop_lead_to_the_guide_and_then_to_hold(link_flight, reaction):
    flight = link_flight
    since, begin, clock = tampered(flight, "drop")
    descended(flight, since, "SNN -> GUIDE: STREAM_STOPPED")
    descended(flight, since, "GUIDE -> HOLD: STATE_LOST")
    flight.until(lambda: flight.station.mode == LOITER_MODE, 3)
    held = next(moment for moment, mode in flight.station.modes if moment > clock)
    reaction(held - clock, 0.25, "from the last state to the autopilot's mode HOLD")
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.HOLD, 2)
    flight.until(lambda: time.time() > begin + 0.8, 2)
    assert flight.stamps(since=begin + 0.5) == [] and not flight.failsafes(clock)


@pytest.mark.proves("2L")
def test_late_states_are_skipped_and_too_many_lead_to_the_guide(link_flight, reaction):
    flight = link_flight
    first = len(flight.commands)
    for _ in range(3):
        flight.link.tell("late once")
        flight.stays(SNN, 0.3)
    since, begin, _ = tampered(flight, "late")
    descended(flight, since, "SNN -> GUIDE: STATE_LATE", "SNN -> GUIDE: STREAM_STOPPED")
    guide = flight.until(lambda: flight.stamps(FlightCommand.GUIDE, since=begin), 5)[0]
    reaction(guide - begin, 1.0, "from the first of many late states to the guide's command")
    flight.link.tell("honest")
    ticks = [command.tick for command in flight.commands[first:]]
    assert all(b > a for a, b in pairwise(ticks)), "an old state was commanded"


@pytest.mark.proves("2L")
@pytest.mark.parametrize(("way", "seconds"), [("states", 0.1), ("commands", 0.1), ("commands", 0.15), ("both", 0.04)])
def test_a_link_that_gets_slow_leads_to_hold(link_flight, reaction, way, seconds):
    """Late commands may first turn the vehicle otherwise than commanded: silence then, and the autopilot lands (row 48)."""
    flight = link_flight
    since, _, clock = tampered(flight, f"slow {way} {seconds}")
    otherwise = "-> SILENT: COMMANDS_NOT_FLOWN"
    descended(flight, since, "-> HOLD: LINK_SLOW", "-> HOLD: STATE_LOST", *[otherwise] * (way == "commands"))
    silent = flight.told(otherwise, since)
    mode, rung, wait = (LAND_MODE, SILENT, FAILSAFE) if silent else (LOITER_MODE, HOLD, 0.0)
    flight.until(lambda: flight.station.mode == mode, 3)
    reached = next(moment for moment, found in flight.station.modes if moment > clock and found == mode)
    reaction(reached - clock, 0.5 + seconds + wait, "from the first late packet to the autopilot's mode HOLD or LAND")
    flight.stays(rung, 0.5)
    assert silent or not flight.failsafes(clock)


def test_states_that_come_together_are_replayed_bit_by_bit(hangar):
    """In shadow and in command. The policy is held up meanwhile, else it would be fast enough for each of them."""
    flight = hangar.new("record:=true", "bag:=bag", tampered=True)

    def together() -> None:
        for _ in range(6):
            flight.link.tell("late once")
            flight.stays(flight.rung, 0.3)
            flight.signal("snn_policy", signal.SIGSTOP)
            time.sleep(0.015)
            flight.signal("snn_policy", signal.SIGCONT)
            flight.stays(flight.rung, 0.3)

    flight.take_off()
    together()
    flight.engage()
    together()
    flight.ask("land")
    flight.until(lambda: not flight.autopilot.armed, 40, "no landing")
    flight.graph.end()
    replayed = subprocess.run([SPIKE_CTRL, "replay", flight.folder / "bag"], capture_output=True, text=True, timeout=120)
    found = re.search(r"equal bit by bit: (\d+) of (\d+) actions with a known", replayed.stdout)
    assert replayed.returncode == 0 and found and found[1] == found[2] and int(found[1]) > 300, replayed.stdout
    unseen = re.search(r"did not step on (\d+) of the states, as it reports", replayed.stdout)
    assert unseen and int(unseen[1]) >= 2, replayed.stdout


@pytest.mark.proves("4L")
def test_a_nan_in_a_state_is_named_and_nothing_is_computed_from_it(link_flight, reaction):
    flight = link_flight
    states, first = flight.listen(VehicleState, "state"), len(flight.commands)
    since, begin, _ = tampered(flight, "nan")
    descended(flight, since, "SNN -> GUIDE: STATE_NOT_FINITE (a state holds NaN or infinity): position[1] is nan")
    moment = time.time()
    flight.until(lambda: flight.rung != SNN, 2)
    reaction(moment - begin, 0.1, "from the first NaN to the news of it")
    descended(flight, since, "GUIDE -> HOLD: STATE_LOST")  # no better state comes
    flight.stays(HOLD, 0.5)
    flight.link.tell("honest")
    assert all(np.isfinite(state.observation).all() for state in states)
    assert all(np.isfinite(command.action).all() for command in flight.commands[first:])
    assert flight.stamps(FlightCommand.POLICY, since=begin + 0.1) == []


@pytest.mark.proves("8L")
@pytest.mark.parametrize("manner", ["future", "past"])
def test_a_jump_of_the_vehicles_clock_is_a_fault(link_flight, reaction, manner):
    since, begin, _ = tampered(link_flight, manner)
    descended(link_flight, since, "SNN -> GUIDE: CLOCK_JUMP")
    reaction(hand_over_gap(link_flight, begin), 0.1, "from the policy's last command to the guide's first")


@pytest.mark.proves("38S")
def test_noise_and_forged_packets_are_counted_and_change_nothing(link_flight, reaction):
    flight = link_flight
    before, dropped = intervals(flight, 1.0), flight.autopilot.dropped
    since, _, _ = tampered(flight, "noise")
    after = intervals(flight, 2.0)
    assert flight.told("FRAMES_DROPPED", since) and flight.autopilot.dropped > dropped + 50
    assert flight.rung == SNN and flight.autopilot.mode == AutopilotStatus.OFFBOARD
    assert not [status for status in flight.status[since:] if status.rung != SNN]
    reaction(float(after.max()), max(0.045, before.max() + 0.01), "largest gap between two commands meanwhile")


@pytest.mark.proves("32S")
def test_without_the_ground_station_the_autopilot_lands_and_is_yielded_to(link_flight, reaction):
    flight = link_flight
    since = len(flight.status)
    last = time.monotonic()
    flight.station.say(mavlink.MAVLink_heartbeat_message(mavlink.MAV_TYPE_GCS, 8, 0, 0, 4, 3))
    flight.until(lambda: flight.station.mode == LAND_MODE, 6, "COM_DL_LOSS_T is 3 s")
    reaction(flight.station.modes[-1][0] - last - 3.0, 0.3, "from COM_DL_LOSS_T to the autopilot's mode LAND")
    flight.until(lambda: flight.told("-> SILENT: TAKEN_OVER", since), 2)
    flight.until(lambda: flight.told("GROUND_STATION_LOST", since), 2)
    commands = len(flight.commands)
    flight.stays(SILENT, 0.5)
    assert len(flight.commands) == commands


@pytest.mark.proves("20S")
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_without_the_bridge_the_vehicle_lands_and_its_return_engages_nothing(link_flight, reaction, number):
    flight = link_flight
    since = len(flight.status)
    flight.kill("vehicle_bridge") if number == signal.SIGKILL else flight.signal("vehicle_bridge", number)
    flight.until(lambda: flight.station.mode == LAND_MODE, 3, "no failsafe")
    reaction(flight.station.modes[-1][0] - flight.signalled, FAILSAFE, "from the loss to the autopilot's mode LAND")
    flight.station.set_mode(LOITER_MODE)  # a pilot keeps it in the air
    flight.until(lambda: flight.told("-> SILENT: LINK_LOST", since), 5)
    if number == signal.SIGKILL:
        flight.restart("vehicle_bridge")
    else:
        flight.signal("vehicle_bridge", signal.SIGCONT)
    sent = len(flight.commands)
    flight.stays(SILENT, 1.5)
    assert len(flight.commands) == sent
    flight.ask_until_granted("guide")  # the operator may
    flight.until(lambda: flight.rung == GUIDE and flight.station.mode == 0x00060000, 5)
