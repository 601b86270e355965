"""A vehicle whose time waits for answers to its states.

- it waits from the first answer on, for at most PATIENCE, and says how often
- with answers that come late by the clock it flies as with answers in time, bit by bit; without pace it does not
- the shipped crazyflie stays far inside the envelope with commands in time; one control period late they shake it out of it
- whoever falls silent is waited for once; then the vehicle's own failsafe comes in its usual time
"""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.policy import checkpoint
from spike_ctrl.px4.dialect import PX4Mode, messages
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.link_events import Odometry
from spike_ctrl.px4.parameter_rules import simulated
from spike_ctrl.simulated_px4 import udp_server
from spike_ctrl.simulated_px4.pace import PATIENCE, Pace
from spike_ctrl.simulated_px4.vehicle import ONBOARD, Vehicle

CRAFT = airframe.load("crazyflie")
HERE = (0.0, 0.0, 1.0)
PATH = Trajectory("figure8", HERE, math.pi / 2, size=1.0, period=8.0)


def test_it_waits_from_the_first_answer_on_until_the_newest_state_is_answered():
    pace = Pace()
    assert not pace.holds(shown=10, answered=-math.inf, wall=0.0)  # nobody answers yet
    assert not pace.holds(shown=20, answered=20, wall=0.1)
    assert pace.holds(shown=30, answered=20, wall=0.2) and pace.left(0.3) == pytest.approx(PATIENCE - 0.1)
    assert not pace.holds(shown=30, answered=30, wall=0.4)
    assert str(pace) == "waited for an answer 1 times, 0.2 s in all, longest 0.20 s; its clock stood still meanwhile"


def test_after_its_patience_it_goes_on_until_the_next_answer_even_one_that_is_late():
    pace = Pace()
    pace.holds(shown=10, answered=10, wall=0.0)
    assert pace.holds(shown=20, answered=10, wall=1.0)
    assert not pace.holds(shown=20, answered=10, wall=1.0 + PATIENCE)
    assert not pace.holds(shown=40, answered=10, wall=1.1 + PATIENCE) and pace.alone == 1
    assert pace.holds(shown=40, answered=30, wall=1.2 + PATIENCE)
    assert str(pace).endswith("longest 1.00 s; its clock stood still meanwhile; went on without an answer 1 times")


class SlowPilot:
    """A policy at the other end of the link, on a computer's clock that this object keeps. It also stands in for the
    server's socket and selector. delays: s of the clock from a state to its answer, in turn; after the last it is silent.
    """

    def __init__(self, delays):
        self.clock, self.delays, self.due, self.states = 0.0, list(delays), [], 0
        self.link, self.policy = Link(), checkpoint.load("models/crazyflie.safetensors").policy
        self.memory = self.policy.initial_state()

    def sendto(self, data, remote):
        for event in self.link.receive(data, self.clock):
            if isinstance(event, Odometry) and self.delays:
                self.states += 1
                sample = Sample(self.states, *event[1:2], self.clock, *event[2:6])
                action, self.memory = self.policy.step(observed(sample, PATH.at(event.stamp)), self.memory)
                packet = self.link.action(np.clip(action, -1, 1).tolist(), CRAFT, self.clock)
                at = self.clock + self.delays.pop(0)
                self.due += [(at, packet), (at, self.link.answered(event.stamp, at))]

    def recv(self, size):
        if not self.due or self.due[0][0] > self.clock:
            raise BlockingIOError
        return self.due.pop(0)[1]

    def select(self, seconds):
        """Lets the clock go on until the next answer comes, at most for so long."""
        coming = [at for at, _ in self.due[:1] if at <= self.clock + seconds]
        self.clock = max(self.clock, coming[0]) if coming else self.clock + seconds
        return [(SimpleNamespace(data=ONBOARD), None)] if coming else []


def flown(monkeypatch, delays, pace, seconds=6.0, noise=0.5):
    """A figure-eight from HERE on: the true positions and body rates at its ticks, its vehicle, and the pilot."""
    pilot, track = SlowPilot(delays), {}
    selector = SimpleNamespace(register=lambda *_: None, select=pilot.select)
    monkeypatch.setattr(udp_server.selectors, "DefaultSelector", lambda: nullcontext(selector))
    vehicle = Vehicle(CRAFT, 0, simulated(CRAFT) | {"COM_OF_LOSS_T": 0.2}, noise=noise)
    vehicle.begin_in_the_air(HERE)
    vehicle.schedules[ONBOARD].set_interval(messages.MAVLINK_MSG_ID_ODOMETRY, 0.01)
    ports = {ONBOARD: udp_server.Port(pilot, ("", 0))}
    udp_server.serve(
        vehicle, ports, lambda: pilot.clock, lambda: vehicle.now >= seconds, lambda line: None,
        lambda v: track.setdefault(v.now, (*v.truth.position, *v.truth.rates)), pace,
    )  # fmt: skip
    return np.array(list(track.values())), vehicle, pilot


def test_answers_that_come_late_by_the_clock_change_nothing_but_the_pace(monkeypatch):
    late = np.random.default_rng(0).uniform(0.0, 0.06, 1000)
    late[0] = 0.0  # the first answer lets it begin to wait
    in_time, _, _ = flown(monkeypatch, [0.0] * 1000, Pace())
    pace = Pace()
    paced, vehicle, pilot = flown(monkeypatch, late, pace)
    np.testing.assert_array_equal(paced, in_time)
    assert vehicle.now < 0.5 * pilot.clock and pace.alone == 0 and pace.longest < 0.06
    assert vehicle.commander.mode is PX4Mode.OFFBOARD
    without, _, _ = flown(monkeypatch, late, None)
    assert len(without) != len(in_time) or not np.array_equal(without, in_time)


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.03])
def test_the_crazyflie_keeps_its_figure_eight_far_inside_the_envelope_where_the_vehicle_waits(monkeypatch, delay):
    track, _, _ = flown(monkeypatch, [delay] * 1000, Pace(), seconds=10.0, noise=1.0)
    assert np.linalg.norm(track[:, 3:], axis=1).max() < 0.5 * Envelope.rate


def test_commands_that_are_one_control_period_late_shake_the_crazyflie_out_of_the_envelope(monkeypatch):
    """It was trained without delay. Its body rates swing to 16 rad/s: the limit of 12 is right, and met for a reason."""
    track, _, _ = flown(monkeypatch, [0.0101] * 1000, None, seconds=10.0, noise=1.0)
    assert np.linalg.norm(track[:, 3:], axis=1).max() > Envelope.rate


def test_a_pilot_that_falls_silent_is_waited_for_once_and_the_failsafe_comes_in_its_usual_time(monkeypatch):
    pace = Pace()
    _, vehicle, pilot = flown(monkeypatch, [0.002] * 100, pace, seconds=3.0)
    assert pace.alone == 1 and pace.waited < PATIENCE + 0.01
    assert pilot.clock - vehicle.now == pytest.approx(PATIENCE, abs=0.02)
    assert vehicle.commander.mode is not PX4Mode.OFFBOARD
    lost = next(at for at, text in vehicle.said if "offboard" in text.lower())
    assert lost < 1.0 + 0.2 + 0.1  # a second of commands, COM_OF_LOSS_T, and what the autopilot takes to say so
