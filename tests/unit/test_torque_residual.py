"""A vehicle whose motors are commanded, and which gains other rates than those commands give: found, never on a healthy one.

What motors do is what the simulated vehicle does (sim/dynamics.py, which l2f holds). What is lost on the way to an
autopilot, and what comes late, is flown in virtual time.
"""

import numpy as np
import pytest
from first_draw import first_draw
from struck_flight import fly

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import outcome
from spike_ctrl.flight.actuator_faults import TorqueResidual, TorqueResidualLimits, Turned, follow_motors
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.px4 import parameter_rules
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.sim import dynamics
from spike_ctrl.simulated_px4.plant import TICK, Plant

pytestmark = pytest.mark.slow

CRAFTS = ["crazyflie", "crazyflie_real", "crazyflie_l2f"]
BEGINS = 1.0  # s


def flown(name, every=3, frozen=False, torque=0.0, thrust=1.0, waits=0.0):
    """A vehicle rolls and pitches to and fro for 3 s: s from BEGINS to the first finding, or None, and nearest to the limit.

    every: ticks from state to state. From BEGINS on: frozen, the autopilot goes on with the last command; torque, rad/s^2
    about roll, that nobody commands. thrust: of the vehicle, which is believed to be as described.
    """
    craft, dice = airframe.load(name), np.random.default_rng(3)
    plant, limits, track = (
        Plant(airframe.altered(craft, thrust=thrust)),
        TorqueResidualLimits(Turned(craft), waits=waits),
        TorqueResidual(),
    )
    plant.hover_at((0.0, 0.0, 100.0))
    action, executed, largest, hover = None, None, 0.0, 2 * craft.hover - 1
    for tick in range(round(3.0 / TICK)):
        now, state = tick * TICK, plant.state
        if torque and abs(now - BEGINS) < TICK / 2:
            dynamics.write(plant.buffer, dynamics.DISTURBANCE_ROWS, [[0, 0, 0, torque * craft.inertia[0], 0, 0]])
        if tick % every == 0:
            sample = Sample(tick, now, now, state.position, state.quaternion, state.velocity, state.rates)
            track, found = follow_motors(track, sample, action, limits)
            largest = max(largest, track.beyond(limits.share))
            if found:
                return now - BEGINS, largest
            wanted = 1.5 * np.sin(5 * now + np.array([0.0, 1.0]))
            roll, pitch = 0.03 * (wanted - state.rates[:2]) + 0.02 * dice.standard_normal(2)
            sides = zip(craft.rotor_x, craft.rotor_y, strict=True)
            action = tuple(hover + float(roll * np.sign(y) - pitch * np.sign(x)) for x, y in sides)
            executed = executed if frozen and now > BEGINS else action
        plant.advance(0.0, (0.0, 0.0, 0.0), True, motors=[(a + 1) / 2 for a in executed])
    return None, largest


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("name", CRAFTS)
def test_a_vehicle_turns_as_its_motors_are_commanded_and_is_not_blamed(name, every):
    for thrust in (0.9, 1.0, 1.2):
        found, largest = flown(name, every, thrust=thrust)
        assert found is None and largest < TorqueResidualLimits().apart / 2


@pytest.mark.parametrize("name", CRAFTS)
def test_old_commands_that_go_on_are_found_before_the_vehicle_lies_on_its_side(name):
    assert 0.0 < flown(name, frozen=True)[0] < 0.35


@pytest.mark.parametrize("name", CRAFTS)
def test_a_steady_torque_that_begins_in_flight_is_learnt_and_one_that_turns_it_over_is_found(name):
    assert flown(name, torque=15.0)[0] is None
    assert flown(name, torque=60.0)[0] < 0.2


def test_where_a_lost_rotor_is_looked_for_a_torque_that_nobody_commands_must_last():
    at_once, later = (flown("crazyflie", torque=60.0, waits=waits)[0] for waits in (0.0, 0.15))
    assert later - at_once == pytest.approx(0.15, abs=0.013)  # by a state more


def certified(seed, who):
    return fly(who, first_draw(seed, *who))


@pytest.fixture
def slow(monkeypatch):
    """An autopilot that flies old motor commands for as long as old rates, .2 s."""
    monkeypatch.setitem(parameter_rules.LOSS_TIME, "motors", 0.2)


@pytest.mark.parametrize("seed", [73, 273, 333, 453, 553])
def test_lost_and_late_motor_commands_do_no_harm_where_the_autopilot_waits_as_the_preflight_wants(motors, seed):
    found = outcome(certified(seed, motors))
    assert found.hit < 0.5 and not found.left


@pytest.mark.proves("48U")
@pytest.mark.parametrize("seed", [73, 273, 333, 453, 553])
def test_row_48_lost_and_late_motor_commands_end_with_the_autopilot_and_not_on_the_ground(motors, slow, seed):
    core = certified(seed, motors)  # without the check four of them met the ground, at 1.1, 2.8, 3.4 and 4.1 m/s
    assert core.scenario.what in ("link commands_lost", "link commands_late")
    assert outcome(core).hit < 0.5 and not outcome(core).left
    assert "MOTORS_NOT_FLOWN" in core.state.counts and core.vehicle.commander.mode is not PX4Mode.OFFBOARD


def test_an_autopilot_that_hears_nothing_more_gets_nothing_more_after_the_last_command_was_repeated(motors, slow):
    class Deaf(FlightCore):
        sent, asked = (), 0

        def _command(self, command):
            self.sent += ((self.clock.now, command),)
            super()._command(command)

        def _ask(self, ask):
            self.asked += 1

    who, settings = motors
    core = Deaf(first_draw(453, who, settings), who, settings)
    core.fly()
    rungs = [(rung, at, why) for at, rung, why in core.moves if rung > Rung.GUIDE]
    (hold, held, _), (silent, fell_silent, why) = rungs[:2]
    assert (hold, silent) == (Rung.HOLD, Rung.SILENT) and why.startswith("HOLD was not taken in time: MOTORS_NOT_FLOWN")
    assert fell_silent - held < settings.ladder.deaf + 0.02 and 8 <= core.asked <= 14
    last = [command for at, command in core.sent if at > fell_silent]
    assert 4 <= len(last) <= 7 and {command.action for command in last} == {settings.level}
    assert max(at for at, _ in core.sent) < fell_silent + settings.farewell + 0.02
    assert core.vehicle.commander.mode is not PX4Mode.OFFBOARD  # the autopilot's own net has acted


@pytest.mark.parametrize(
    ("family", "seed"), [("process", 23), ("process", 25), ("process", 50), ("process", 52), ("process", 33), ("link", 22)]
)
def test_when_commands_stop_old_motor_commands_are_flown_for_so_short_that_the_vehicle_is_caught(family, seed):
    """With a loss time of .2 s, as for rates, four met the ground at 1 to 3.4 m/s; three left the cage by .4 to 2.4 m."""
    who, settings = monte_carlo.competitors(resources.find("models", "crazyflie_robust.safetensors"))
    core = fly((who, settings), first_draw(seed, who, settings, family))
    assert outcome(core).hit < 0.5 and not outcome(core).left


def test_commands_that_jump_from_limit_to_limit_are_flown_by_rotors_that_lag_and_are_not_blamed():
    who, settings = monte_carlo.competitors(resources.find("models", "crazyflie.safetensors"))
    calm = first_draw(22, who, settings, "none")._replace(factors=(1.0, 1.0, 1.0), noise=0.5, latency=0.002)
    assert "MOTORS_NOT_FLOWN" not in fly((who, settings), calm).state.counts  # found when torques, not rotors, lagged
