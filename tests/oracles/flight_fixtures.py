"""A rehearsed flight: the supervisor with a model of vehicle, policy, guide and autopilot, in virtual time."""

import copy
import math

import pytest
from told_events import ToldEvents

from spike_ctrl._files import resources
from spike_ctrl.flight.answer_checks import Answer, Identity
from spike_ctrl.flight.autopilot import Ask, Autopilot, Mode
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.state_consistency import ConsistencyLimits
from spike_ctrl.flight.supervisor import step
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState

PERIOD = 0.01
POLICY, GUIDE = Identity("hover.safetensors", 3), Identity("guide", 0)
ASKED = {Ask.OFFBOARD: Mode.OFFBOARD, Ask.HOLD: Mode.HOLD, Ask.LAND: Mode.LAND}


# The states of these flights are made up: a test that sets a velocity moves no vehicle. What holds states against each other
# and against the walls is tested in test_state_consistency.py, test_braking.py and, on a vehicle, test_certification.py.
MADE_UP = FlightSettings(
    cage=Cage(doubt_share=0.0),
    consistency=ConsistencyLimits(
        leap=100.0,
        stands=100.0,
        position=100.0,
        drift=100.0,
        creep=100.0,
        kept=100.0,
        attitude=100.0,
        reset=100.0,
        held_speed=99.0,
    ),
    braking=Braking(gap=0.0, time=0.0, deceleration=50.0, vertical_time=0.0, vertical_deceleration=50.0),
)


class _Flight(ToldEvents):
    """One control period per `fly` step: a state, 2 ms later the guide's answer, 4 ms later the policy's.

    sample, policy, guide: functions that change what arrives, or return None to drop it. autopilot_obeys: whether it takes
    the modes that it is asked for. The vehicle moves straight to the set-point at 1 m/s; in LAND it sinks and disarms.
    """

    def __init__(self, settings: FlightSettings = MADE_UP, **autopilot):
        self.settings, self.state = settings, SupervisorState()
        self.now, self.tick, self.clock_offset = 1000.0, 0, -900.0
        self.position, self.velocity, self.reset_counter = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0
        self.sample = self.policy = self.guide = lambda passes: passes
        self.candidate = lambda answer: None
        self.mode, self.armed, self.autopilot_obeys, self.heard = Mode.HOLD, False, True, True
        self.autopilot = {"battery": 0.9, "voltage": 16.0} | autopilot
        self.unmet, self.reports, self.stream = (), (), None
        self.outputs, self.events, self.last = [], [], None

    # --- what is seen -----------------------------------------------------------------------------------------------

    @property
    def rung(self):
        return self.state.ladder.rung

    @property
    def commands(self):
        """Time and command of all commands."""
        return [(now, output.command) for now, output in self.outputs if output.command is not None]

    @property
    def asks(self):
        return [output.ask for _, output in self.outputs if output.ask is not None]

    def commanders(self, since=0.0):
        return [command.commander for now, command in self.commands if now >= since]

    def count(self, fault):
        return self.state.counts.get(fault.name, 0)

    @property
    def landed(self):
        return not self.armed or self.position[2] < 0.05

    # --- what happens -----------------------------------------------------------------------------------------------

    def give(self, **inputs):
        """One step of the supervisor, now."""
        if self.heard:
            self.last_status = Autopilot(self.now, self.now, self.mode, self.armed, self.landed, **self.autopilot)
        status = getattr(self, "last_status", None)
        given = {"autopilot": status, "unmet": self.unmet, "reports": self.reports} | inputs
        self.state, output = step(self.state, SupervisorInputs(self.now, **given), self.settings)
        self.outputs.append((self.now, output))
        self.events.extend(output.events)
        self.last = output
        if output.ask is Ask.ARM and self.autopilot_obeys and self.mode is Mode.OFFBOARD:
            self.armed = True
        elif output.ask in ASKED and self.autopilot_obeys:
            self.mode = ASKED[output.ask]
        return output

    def ask(self, *requests):
        return self.give(requests=requests)

    def fly(self, seconds=PERIOD, until=None):
        """Fly for `seconds`, or with `until` to the first control period at which it is true."""
        for _ in range(max(round(seconds / PERIOD), 1)):
            self._period()
            if until is not None and until():
                return self
        assert until is None, f"not within {seconds} s; {self.rung.name}: {[sentence(event) for event in self.events[-5:]]}"
        return self

    def _period(self):
        self.tick += 1
        self._move()
        begin, wave = self.now, math.sin(0.37 * self.tick)
        sample = self.sample(
            Sample(
                tick=self.tick,
                stamp=self.now + self.clock_offset,
                received=self.now,
                position=tuple(p + 1e-4 * wave for p in self.position),
                quaternion=(0.01 * wave, 0.0, 0.0, math.sqrt(1 - (0.01 * wave) ** 2)),
                velocity=tuple(v + 1e-3 * wave for v in self.velocity),
                rates=(0.02 * wave, 0.0, 0.01 * wave),
                reset_counter=self.reset_counter,
            )
        )
        self.give(sample=sample, stream=self.stream)
        action = (0.1 * wave, 0.02 * wave, 0.0, 0.01)
        mine = tuple(a + 0.05 for a in action)
        layout = self.settings.layout
        for delay, name, identity, values in (
            (0.002, "guide", GUIDE, action),
            (0.004, "policy", POLICY, mine),
            (0.005, "candidate", Identity("new.safetensors", 4), mine),
        ):
            self.now = begin + delay
            answer = Answer(self.tick, self.now, values, layout, identity, () if name == "guide" else (0.2, 0.1))
            if (answer := getattr(self, name)(answer)) is not None:
                self.give(**{name: answer})
        self.now = begin + PERIOD

    def move_origin(self, *by):
        """The estimator moves its origin: the vehicle's position jumps by so many metres."""
        self.position = [p + d for p, d in zip(self.position, by, strict=True)]
        self.reset_counter += 1
        self._period()
        return self

    def _move(self):
        if self.last is not None and self.state.track.last is not None:
            if self.reset_counter != self.state.track.last.reset_counter:
                return
        point = self.last.set_point if self.last is not None else None
        wanted = list(self.position)
        if self.armed and self.mode is Mode.OFFBOARD and point is not None and self.rung <= Rung.GUIDE:
            wanted = list(point.position)
        elif self.armed and self.mode is Mode.LAND:
            wanted[2] = 0.0
        distance = math.dist(wanted, self.position)
        share = min(1.0, PERIOD / distance) if distance > 0 else 0.0
        for axis in range(3):
            moved = share * (wanted[axis] - self.position[axis])
            self.position[axis] += moved
            self.velocity[axis] = moved / PERIOD
        if self.armed and self.mode is Mode.LAND and self.position[2] < 0.05:
            self.armed = False

    @staticmethod
    def nothing(passes):
        """For sample, policy, guide: it does not arrive."""
        return None

    def stays(self, rung, seconds=0.5):
        self.fly(seconds)
        assert self.rung is rung, [sentence(event) for event in self.events]

    def needs_the_operator(self):
        """It stays on GUIDE until the operator asks, and then returns to SNN through shadow mode."""
        self.stays(Rung.GUIDE, 3.0)
        self.ask(Request.ENGAGE)
        self.fly(5, until=lambda: self.rung is Rung.SNN)

    # --- where a test begins ----------------------------------------------------------------------------------------

    def take_off(self):
        self.fly(0.5)
        self.ask(Request.TAKE_OFF)
        return self.fly(10, until=lambda: self.told(EventKind.TOOK_OFF))

    def engage(self):
        """The policy flies in the air. Earlier outputs and events are cleared."""
        self.take_off()
        self.ask(Request.ENGAGE)
        self.fly(5, until=lambda: self.rung is Rung.SNN)
        self.fly(0.2)
        return self.forget()

    def forget(self):
        self.outputs.clear()
        self.events.clear()
        return self


@pytest.fixture(scope="session")
def Flight():
    return _Flight


@pytest.fixture(scope="session")
def engaged():
    return _Flight().engage()


@pytest.fixture
def flight(engaged):
    """The policy flies, in the air, at 100 Hz."""
    return copy.deepcopy(engaged)


@pytest.fixture(scope="session")
def who():
    """Policy, guide and airframe of a certification, and the settings of its flights."""
    from spike_ctrl.certification import monte_carlo  # asks for scipy, which a companion computer has not

    return monte_carlo.competitors(resources.find("models", "sih_quadx.safetensors"))


@pytest.fixture(scope="session")
def motors():
    """The same of a policy that commands motors."""
    from spike_ctrl.certification import monte_carlo

    return monte_carlo.competitors(resources.find("models", "crazyflie_real.safetensors"))
