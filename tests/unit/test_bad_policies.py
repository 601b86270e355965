"""Policies that turn bad in the air, in the project's own dynamics: the guide catches the vehicle, the operator is needed.

The vehicle is the Crazyflie with its shipped policy at 100 Hz; the guide that recovers knows the rotors' speeds, as in
training. The bad policy is good until it has been engaged for a second. What the autopilot does in HOLD the guide plays.
"""

import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight import supervisor
from spike_ctrl.flight.answer_checks import Answer, Identity
from spike_ctrl.flight.autopilot import Ask, Autopilot, Mode
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates
from spike_ctrl.snn.weight_shapes import weight_shapes

pytestmark = pytest.mark.slow

PERIOD, HEIGHT = 0.01, 1.5  # s; m, where the dynamics have their origin
CRAFT = airframe.load("crazyflie")
SETTINGS = FlightSettings(layout="motors", hover=2 * CRAFT.hover - 1, cage=Cage((-2.0, -2.0, 0.0), (2.0, 2.0, 3.0), 0.4))
WHO = Identity("crazyflie.safetensors", 0)


@pytest.fixture(scope="module")
def shipped():
    return checkpoint.load(resources.folder("models") / "crazyflie.safetensors").policy


def random_policy(sizes, rng):
    """As wide as the shipped one, with weights that nobody trained."""
    weights = {name: rng.normal(0.0, 0.5, shape) for name, shape in weight_shapes(sizes).items()}
    weights |= {name: rng.uniform(0.1, 0.9, value.shape) for name, value in weights.items() if name[-4:] in ("beta", "heta")}
    return SpikingPolicy({name: value.astype(np.float32) for name, value in weights.items()})


class Rehearsal:
    """The vehicle of the dynamics, supervised; `bad(action, observation)` is what the policy turns into."""

    def __init__(self, policy, seed, bad=None):
        self.environment = Environment(CRAFT, 1, Task(box=50.0, episode_steps=100_000, start=InitialStates(at_target=1.0)))
        self.seen, _ = self.environment.reset(seed=seed)
        self.policy, self.bad, self.spiking = policy, bad, policy.initial_state()
        self.guide = GeometricGuide(CRAFT)
        self.integral = self.guide.initial_state(1)
        self.state, self.now, self.tick, self.mode = SupervisorState(), 100.0, 0, Mode.HOLD
        self.rungs, self.reasons, self.positions, self.flown = [], [], [], 0

    def fly(self, seconds, *requests):
        for _ in range(round(seconds / PERIOD)):
            self._period(requests)
            requests = ()
        return self

    def _step(self, **inputs):
        status = Autopilot(self.now, self.now, self.mode, True, False, battery=0.9, voltage=4.0)
        self.state, output = supervisor.step(
            self.state, SupervisorInputs(self.now, autopilot=status, unmet=(), **inputs), SETTINGS
        )
        self.mode = {Ask.OFFBOARD: Mode.OFFBOARD, Ask.HOLD: Mode.HOLD, Ask.LAND: Mode.LAND}.get(output.ask, self.mode)
        self.rungs.append(output.rung)
        self.reasons += [sentence(event) for event in output.events if event.before is not None]
        self.point = output.set_point
        if output.command is not None:
            self.command = output.command.action

    def _period(self, requests):
        self.tick += 1
        s = self.environment.read(dynamics.STATE_ROWS)[0].tolist()
        position = (s[0], s[1], s[2] + HEIGHT)
        self.positions.append(position)
        sample = Sample(self.tick, self.now, self.now, position, tuple(s[3:7]), tuple(s[7:10]), tuple(s[10:13]))
        self._step(sample=sample, requests=requests)
        guided, self.integral = self.guide.act(
            self.seen, self.integral, self.environment.rotor_speed, np.zeros((1, 6), np.float32)
        )
        answered, self.spiking = self.policy.step(self.seen[0], self.spiking)
        rates = tuple(map(float, self.policy.spike_rates(self.spiking)))
        self.flown = self.flown + 1 if self.state.ladder.rung is Rung.SNN else 0
        if self.bad is not None and self.flown > 100:
            answered = self.bad(answered, self.seen[0])
        self._step(guide=Answer(self.tick, self.now, tuple(guided[0].tolist()), "motors", Identity("guide", 0)))
        self.now += 0.001
        self._step(policy=Answer(self.tick, self.now, tuple(np.asarray(answered).tolist()), "motors", WHO, rates))
        self.now += PERIOD - 0.001
        offboard = self.mode is Mode.OFFBOARD and self.state.ladder.commanding
        flown = np.array(self.command, np.float32)[None] if offboard else guided
        if self.point is not None and offboard:
            target = np.array([self.point.position], np.float32) - (0.0, 0.0, HEIGHT)
            dynamics.write(self.environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), target.astype(np.float32))
        self.seen, *_ = self.environment.step(flown)


def engage(policy, seed, bad=None):
    flight = Rehearsal(policy, seed, bad).fly(1.5).fly(1.5, Request.ENGAGE)
    assert Rung.SNN in flight.rungs, flight.reasons
    return flight


@pytest.mark.parametrize("target", [SetPoint((0.8, -0.5, 1.8)), Trajectory("figure8", (0.0, 0.0, 1.5), period=8.0)], ids=str)
def test_the_shipped_policy_flies_to_a_set_point_and_on_a_trajectory_undisturbed(shipped, target):
    flight = engage(shipped, seed=1)
    flight._step(target=target)
    flight.fly(10)
    assert flight.rungs[-1] is Rung.SNN, flight.reasons
    assert set(flight.state.counts) <= {"STATE_LOST", "LINK_LOST", "STARTED_IN_THE_AIR", "ACTION_SLEWED"}
    assert math.dist(flight.positions[-1], flight.point.position) < (0.1 if isinstance(target, SetPoint) else 0.5)


BAD = {
    "random weights": None,
    "sign flipped": lambda action, seen: -action,
    "mirrored about hover": lambda action, seen: 2 * SETTINGS.hover - action,
    "constant": lambda action, seen: np.array([0.3, 0.25, 0.3, 0.35], np.float32),
    "nan": lambda action, seen: np.full(4, np.nan),
    "full throttle": lambda action, seen: np.ones(4),
    "engines off": lambda action, seen: -np.ones(4),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", BAD)
def test_a_policy_that_turns_bad_in_the_air_is_caught_inside_the_cage(shipped, name, seed):
    bad = BAD[name]
    if bad is None:
        wild = random_policy(shipped.sizes, np.random.default_rng(seed))
        memory = [wild.initial_state()]

        def bad(action, seen):
            action, memory[0] = wild.step(seen, memory[0])
            return action

    flight = engage(shipped, seed, bad).fly(8)
    assert flight.rungs[-1] in (Rung.GUIDE, Rung.HOLD), flight.reasons
    low, high = np.min(flight.positions, axis=0), np.max(flight.positions, axis=0)
    assert (low > SETTINGS.cage.low).all() and (high < SETTINGS.cage.high).all(), (low, high, flight.reasons)
    assert math.hypot(*flight.state.sample.velocity) < 0.3
