"""Faults of a flight, with real processes against the simulated vehicle, whose own truth decides.

- it comes up passive, lists what speaks against a take-off, and then flies when it is asked to
- the policy stops, goes on, is killed, or turns wild in the air: the guide flies, and the policy only when asked for again
- the guide dies: the autopilot holds; the supervisor or the bridge dies: the autopilot's failsafe lands
- a link that was lost and is back, or a stack that starts in the air, engages nothing by itself
- a pilot takes over, a second publisher appears, a set-point stream stops: yielded, guarded, held
- Ctrl-C in the air lands before anything ends
"""

import hashlib
import math
import os
import re
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink
from spike_ctrl_msgs.msg import AutopilotStatus, Checkpoint, FlightCommand, SetPoint, VehicleAction, VehicleState
from spike_ctrl_msgs.srv import SetTarget

from spike_ctrl import checkpoint
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, nanoseconds

SNN, GUIDE, HOLD, LAND, SILENT = range(5)
GAP = 0.045  # s from one command to the next: a control period of at most 16 ms and 25 ms of silence
LOITER = 0x03040000


def stamps(flight, commander):
    return [1e-9 * nanoseconds(c.header.stamp) for c in flight.commands if c.commander == commander]


def last_command(flight):
    return 1e-9 * nanoseconds(flight.commands[-1].header.stamp)


def hand_over_gap(flight):
    """s from the policy's last command to the guide's first after it, by the supervisor's stamps."""
    flight.until(lambda: flight.commands and flight.commands[-1].commander == FlightCommand.GUIDE, 5)
    last = stamps(flight, FlightCommand.POLICY)[-1]
    return min(stamp for stamp in stamps(flight, FlightCommand.GUIDE) if stamp > last) - last


def on_guide_for_good(flight, since, words):
    """The guide flies with this reason, and the policy does not come back by itself, though it may agree by then."""
    flight.until(lambda: flight.told(words, since), 5, words)
    flight.until(lambda: flight.rung == GUIDE, 5)
    flight.stays(GUIDE, 2.5)


def test_rows_15_16_17_44_45_policy_and_guide_stop_and_die_in_the_air(new_flight):
    flight = new_flight()
    # 45: the autopilot's estimate is not ready when the graph is
    refused = flight.ask("take_off")
    assert not refused.success and "refused to take off: " in refused.message
    assert "passive: arms and engages when asked to" in flight.graph.output
    flight.take_off()
    assert flight.rung == GUIDE and flight.airborne
    flight.engage()
    # 15: stopped
    since, policy = len(flight.status), flight.nodes()["snn_policy"]
    os.kill(policy, signal.SIGSTOP)
    flight.until(lambda: flight.told("SNN -> GUIDE: POLICY_SILENT", since), 5)
    assert hand_over_gap(flight) < GAP
    os.kill(policy, signal.SIGCONT)
    on_guide_for_good(flight, since, "SNN -> GUIDE: POLICY_SILENT")
    flight.engage()
    # 16: killed
    since = len(flight.status)
    os.kill(policy, signal.SIGKILL)
    flight.until(lambda: flight.told("SNN -> GUIDE: POLICY_SILENT", since), 5)
    assert hand_over_gap(flight) < GAP
    refused = flight.ask("engage")
    assert not refused.success and "POLICY_SILENT" in refused.message
    assert flight.graph.process.poll() is None
    # 17: no net
    since = len(flight.status)
    os.kill(flight.nodes()["guide_policy"], signal.SIGKILL)
    flight.until(lambda: flight.told("GUIDE -> HOLD: GUIDE_SILENT", since), 5)
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.HOLD, 3)
    flight.until(lambda: flight.told("GUIDE_SILENT", since), 5)
    flight.land()


def test_rows_7_12_14_a_policy_that_turns_wild_in_the_air_is_caught_each_time(new_flight):
    flight = new_flight()
    flight.take_off()
    os.kill(flight.nodes()["snn_policy"], signal.SIGKILL)
    prefix = ["chrt", "-f", flight.priority] if flight.priority != "0" else []
    manners = ["nan", "flipped", "constant", "random", "exception"]
    script = Path(__file__).parent / "unruly_policy.py"
    unruly = flight.start(*prefix, sys.executable, script, flight.model, *manners)
    # The killed one is remembered for as long as its lease.
    flight.until(lambda: flight.publishers("policy/action") == ["unruly_policy"], 15, "one policy")
    for manner in manners:
        if flight.rung != GUIDE:  # the guide had to recover, and the autopilot holds since
            flight.until(lambda: flight.rung == HOLD and flight.autopilot.mode == AutopilotStatus.HOLD, 10)
            flight.ask_until_granted("guide")
            flight.until(lambda: flight.autopilot.mode == AutopilotStatus.OFFBOARD, 5)
        flight.engage()
        since = len(flight.status)
        unruly.process.send_signal(signal.SIGUSR1)
        fault = {"nan": "ACTION_NOT_FINITE", "exception": "POLICY_SILENT"}.get(manner, "")
        words = f"SNN -> GUIDE: {fault}"
        flight.until(lambda words=words, since=since: flight.told(words, since), 10, f"{manner}: not caught")
        if fault:
            assert hand_over_gap(flight) < GAP
        flight.until(lambda: flight.rung == HOLD or not recovering(flight), 10, f"{manner}: not recovered")
        if manner != "exception":
            unruly.process.send_signal(signal.SIGUSR2)
    assert unruly.end() != 0 and "out of order" in unruly.output
    assert not any(np.isnan(command.action).any() for command in flight.commands)
    flight.land()


def recovering(flight):
    """Whether the guide still brings the vehicle to rest: HOLD follows by itself."""
    events = [event for status in flight.status for event in status.events]
    last = [event for event in events if "SNN -> GUIDE" in event or "GUIDE recovers" in event][-1]
    return "GUIDE recovers" in last


def test_row_19_without_a_supervisor_the_autopilot_lands(new_flight):
    flight = new_flight()
    flight.take_off()
    flight.engage()
    os.kill(flight.nodes()["supervisor"], signal.SIGKILL)
    killed = time.monotonic()
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.LAND, 3)
    assert time.monotonic() - killed < 0.6  # COM_OF_LOSS_T is .2 s, and the status takes its way
    commands = len(flight.commands)
    flight.until(lambda: not flight.autopilot.armed, 40)
    assert len(flight.commands) == commands and flight.graph.process.poll() is None
    flight.summary()


def test_row_20_a_lost_link_silences_and_a_link_that_is_back_engages_nothing(new_flight):
    flight = new_flight()
    flight.take_off()
    flight.engage()
    since, bridge = len(flight.status), flight.nodes()["vehicle_bridge"]
    os.kill(bridge, signal.SIGSTOP)
    flight.until(lambda: flight.told("-> SILENT: LINK_LOST", since), 5)
    os.kill(bridge, signal.SIGCONT)
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.LAND, 5)  # its own failsafe
    commands = len(flight.commands)
    flight.stays(SILENT, 2.0)
    assert len(flight.commands) == commands
    since = len(flight.status)
    flight.ask_until_granted("guide")  # the operator may
    flight.until(lambda: flight.rung == GUIDE and flight.autopilot.mode == AutopilotStatus.OFFBOARD, 5)
    os.kill(bridge, signal.SIGKILL)
    flight.until(lambda: flight.told("-> SILENT: LINK_LOST", since), 5)
    flight.until(lambda: "Disarmed by landing" in flight.vehicle.output, 40)
    flight.summary()


def test_row_33_a_pilot_who_takes_over_is_yielded_to(new_flight):
    flight = new_flight()
    flight.take_off()
    flight.engage()
    since = len(flight.status)
    loiter = mavlink.MAVLink_command_long_message(1, 1, mavlink.MAV_CMD_DO_SET_MODE, 0, 1, 4, 3, 0, 0, 0, 0)
    flight.station_says(loiter)
    flight.until(lambda: flight.told("SNN -> SILENT: TAKEN_OVER", since), 5)
    flight.until(lambda: 1e-9 * nanoseconds(flight.told("TAKEN_OVER")[0].header.stamp) >= last_command(flight), 1)
    commands = len(flight.commands)
    flight.stays(SILENT, 2.0)
    assert len(flight.commands) == commands and flight.autopilot.mode == AutopilotStatus.HOLD
    flight.ask("land")
    flight.land()


def test_rows_36_37_set_points_that_stop_or_make_no_sense_and_a_second_commander(new_flight):
    flight = new_flight()
    flight.take_off()
    flight.engage()
    # 36: NaN, outside, and then none
    stream = {"frame_id": "odom", "velocity": (0.0, 0.0, 0.0), "yaw": 0.0}
    since = len(flight.status)
    begin = time.monotonic()
    while time.monotonic() - begin < 1.0:
        flight.set_point_out.publish(fill(SetPoint(), position=(0.3, 0.0, 0.8), **stream))
        flight.executor.spin_once(timeout_sec=0.02)
    flight.set_point_out.publish(fill(SetPoint(), position=(float("nan"), 0.0, 0.8), **stream))
    flight.until(lambda: flight.told("SET_POINT_NOT_FINITE", since), 5)
    flight.until(lambda: flight.told("SET_POINT_STOPPED", since), 5)
    answer = flight.call(flight.target_service, SetTarget.Request(trajectory="spiral"))
    assert not answer.success and "found 'spiral', wanted one of hover" in answer.message
    assert flight.rung == SNN
    # 37
    since = len(flight.status)
    second = flight.node.create_publisher(FlightCommand, "command", 1)
    flight.until(lambda: flight.told("SNN -> GUIDE: SECOND_PUBLISHER", since), 5)
    assert not flight.ask("engage").success
    flight.node.destroy_publisher(second)
    flight.land()


def test_rows_9_34_35_the_estimate_jumps_the_battery_is_lost_the_wall_is_near(new_flight):
    flight = new_flight("cage:=-2.15,-2.15,-0.5,2.15,2.15,2.5")
    flight.take_off()
    flight.engage()
    # 9: the estimate jumps by a metre; what the policy sees does not
    since, states = len(flight.status), flight.listen(VehicleState, "state")
    flight.station_says(failure(mavlink.FAILURE_UNIT_SENSOR_GPS, mavlink.FAILURE_TYPE_WRONG))
    flight.until(lambda: flight.told("ESTIMATOR_RESET (", since), 5)
    begin = len(states)
    flight.until(lambda: len(states) > begin + 30, 5)
    assert flight.rung == SNN
    assert max(np.linalg.norm(state.observation[:3]) for state in states) < 0.3
    # 35: what is not known is not enough
    flight.ask("guide")
    flight.station_says(failure(mavlink.FAILURE_UNIT_SYSTEM_BATTERY, mavlink.FAILURE_TYPE_OFF))
    flight.until(lambda: math.isnan(flight.autopilot.battery), 3)
    refused = flight.ask("engage")
    assert not refused.success and "BATTERY_UNKNOWN" in refused.message and flight.rung == GUIDE
    # 34: with another jump the vehicle is some .2 m from the wall; the guide flies to the centre, then the autopilot holds
    since = len(flight.status)
    flight.station_says(failure(mavlink.FAILURE_UNIT_SENSOR_GPS, mavlink.FAILURE_TYPE_WRONG))
    flight.until(lambda: flight.told("GUIDE recovers from CAGE_NEAR", since), 5)
    flight.until(lambda: flight.told("GUIDE -> HOLD: the guide recovered from CAGE_NEAR", since), 10)
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.HOLD, 3)
    flight.ask("land")
    flight.land()


def failure(unit, kind):
    return mavlink.MAVLink_command_long_message(1, 1, mavlink.MAV_CMD_INJECT_FAILURE, 0, unit, kind, 0, 0, 0, 0, 0)


def send_checkpoint(flight, publisher, path, name, epoch):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    flight.until(publisher.get_subscription_count, 10)
    publisher.publish(fill(Checkpoint(), epoch=epoch, name=name, sha256=digest, data=data))


def test_row_27_a_new_checkpoint_takes_over_in_flight_only_when_it_agrees_and_is_accepted(new_flight, tmp_path):
    flight = new_flight()
    flight.take_off()
    flight.engage()
    since, old = len(flight.status), flight.commands[-1].checkpoint_id
    checkpoints = flight.node.create_publisher(Checkpoint, "policy/checkpoint", qos.CHECKPOINTS)
    answers = flight.listen(VehicleAction, "candidate/action")
    # One that answers at random flies in shadow and is not taken.
    found = checkpoint.load(flight.model)
    random = np.random.default_rng(1)
    weights = {name: random.permutation(weight.ravel()).reshape(weight.shape) for name, weight in found.weights.items()}
    (tmp_path / "wild.safetensors").write_bytes(checkpoint.dumps(weights, found.manifest.contract))
    send_checkpoint(flight, checkpoints, tmp_path / "wild.safetensors", "wild", 1)
    flight.until(lambda: len([a for a in answers if a.checkpoint_id == "wild"]) > 200, 15)
    assert {c.checkpoint_id for c in flight.commands if c.commander == FlightCommand.POLICY} == {old}
    # One that agrees with the guide takes over between two ticks: the policy never leaves the command.
    send_checkpoint(flight, checkpoints, flight.model, "new", 2)
    flight.until(lambda: flight.commands[-1].checkpoint_id == "new", 15)
    begin = len(flight.commands)
    flight.stays(SNN, 1.0)
    assert {(c.checkpoint_id, c.epoch) for c in flight.commands[begin:]} == {("new", 2)}
    assert not [status for status in flight.status[since:] if status.rung != SNN]
    moments = stamps(flight, FlightCommand.POLICY)
    assert max(b - a for a, b in pairwise(moments)) < GAP
    # While the guide flies, none is taken.
    flight.ask("guide")
    since = len(flight.status)
    send_checkpoint(flight, checkpoints, flight.model, "late", 3)
    flight.until(lambda: flight.told("SWAP_REFUSED", since), 10)
    flight.land()


def test_row_30_a_supervisor_that_is_not_scheduled_hands_over_to_the_autopilot(new_flight):
    flight = new_flight()
    flight.take_off()
    flight.engage()
    since, supervisor = len(flight.status), flight.nodes()["supervisor"]
    os.kill(supervisor, signal.SIGSTOP)
    time.sleep(0.14)  # longer than its limit of .1 s, shorter than the autopilot's of .2 s
    os.kill(supervisor, signal.SIGCONT)
    flight.until(lambda: flight.told("SNN -> HOLD: STARVED", since), 5)
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.HOLD, 3)
    assert "offboard signal lost" not in flight.vehicle.output
    flight.ask("land")
    flight.land()


def test_row_43_ctrl_c_in_the_air_lands_before_the_stack_ends(new_flight):
    flight = new_flight()
    flight.take_off()
    flight.engage()
    flight.graph.process.send_signal(signal.SIGINT)
    flight.until(lambda: flight.told("SNN -> LAND: the operator asked to shut down"), 5)
    flight.until(lambda: flight.graph.process.poll() is not None, 20)
    assert "armed, AUTO_LAND" in flight.vehicle.output and "offboard signal lost" not in flight.vehicle.output
    flight.until(lambda: "Disarmed by landing" in flight.vehicle.output, 40)
    flight.summary()


def test_row_44_a_stack_that_starts_in_the_air_stays_passive(new_flight):
    flight = new_flight()
    flight.take_off()
    flight.graph.kill()
    flight.until(lambda: "Failsafe: offboard signal lost" in flight.vehicle.output, 5)
    flight.station_says(mavlink.MAVLink_command_long_message(1, 1, mavlink.MAV_CMD_DO_SET_MODE, 0, 1, 4, 3, 0, 0, 0, 0))
    flight.status.clear()
    flight.commands.clear()
    flight.graph = flight.launch()
    flight.until(lambda: flight.told("STARTED_IN_THE_AIR"), 30)
    flight.stays(SILENT, 2.0)
    assert not flight.commands and "armed, AUTO_LOITER" in flight.vehicle.lines[-1]
    flight.ask("land")
    flight.land()


def test_the_automatic_flight_succeeds_and_its_figures_are_printed(new_flight):
    flight = new_flight("auto:=true", "duration:=4", "trajectory:=circle", "size:=0.3", "period:=6")
    assert flight.graph.process.wait(90) == 0, flight.graph.output
    found = re.search(r"policy: RMSE ([\d.]+) m, worst .* deadline misses (\d+); spike rate ([\d.]+)", flight.graph.output)
    assert found and float(found[1]) < 0.2 and 0.01 < float(found[3]) < 0.6
    flight.summary()


@pytest.mark.installed
def test_row_24_a_model_for_another_vehicle_ends_the_launch_with_one_line(new_flight):
    model = Path(__file__).parents[2] / "models" / "crazyflie.safetensors"
    flight = new_flight(f"model:={model}")
    assert flight.graph.process.wait(60) in (1, 2)  # of the policy or of the supervisor: both refuse it
    assert "model: airframe_hash: found" in flight.graph.output and "Traceback" not in flight.graph.output
