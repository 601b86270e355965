"""A rotor with other thrust than commanded: found within .2 s, with its number and share, and never on a healthy vehicle."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.flight.actuator_faults import Turned
from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.flight.rotor_check import LostRotor, RotorLimits, RotorTrack, Thrusts, follow_rotors
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.sim import dynamics, observation
from spike_ctrl.simulated_px4.plant import TICK, Plant

CRAFTS = ["crazyflie", "crazyflie_brushless"]
FAILS = 0.4  # s
STILL = Sample(0, 0.0, 0.0, (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def flown(
    name, rotor=0, lost=0.0, seconds=0.7, torque=0.0, thrust=1.0, seed=1, whole=False, heals=np.inf, told=None, stuck=-1.0
):
    """s from FAILS to the first finding, or None, and the track then, or at the end where `whole`.

    A guide that is told nothing flies to and fro on noisy states. From FAILS on the rotor lacks the share `lost`; torque:
    rad/s^2 about roll that nobody commands. thrust: of the vehicle, which is believed to be as described. heals: s after
    FAILS, when the rotor is whole again. told: a list that gets s from FAILS, and what another guide would be told. stuck:
    the speed that the rotor keeps to from FAILS on.
    """
    craft, dice = airframe.load(name), np.random.default_rng(seed)
    plant, guide = Plant(airframe.altered(craft, thrust=thrust)), GeometricGuide(craft)
    track, memory, limits = RotorTrack(), guide.initial_state(1), RotorLimits(Turned(craft))
    plant.hover_at((0.0, 0.0, 100.0))
    action, after = None, None
    every = round(0.01 / TICK)
    for tick in range(round(seconds / TICK)):
        now, state = tick * TICK, plant.state
        if abs(now - FAILS) < TICK / 2:
            if lost or stuck >= 0:
                plant.lose_rotor(rotor, lost, stuck=stuck)
            dynamics.write(plant.buffer, dynamics.DISTURBANCE_ROWS, [[0, 0, 0, torque * craft.inertia[0], 0, 0]])
        if abs(now - FAILS - heals) < TICK / 2:
            plant.lose_rotor(rotor, 0.0)
        if tick % every == 0:
            velocity = tuple(state.velocity + 0.03 * dice.standard_normal(3))
            rates = tuple(state.rates + 0.05 * dice.standard_normal(3))
            sample = Sample(tick, now, now, tuple(state.position), tuple(state.quaternion), velocity, rates)
            track = follow_rotors(track, sample, action, limits)
            after = now - FAILS if after is None and track.lost else after
            if told is not None:
                told.append((now - FAILS, track.told(limits)))
            if track.lost and not whole:
                break
            target = (0.5 if now % 0.6 < 0.3 else -0.5, 0.0, 100.0)
            seen = observation.build(sample.position, sample.quaternion, velocity, rates, target, 0.0)
            answer, memory = guide.act(np.asarray(seen, np.float32)[None], memory)
            action = tuple(float(a) for a in answer[0])
        plant.advance(0.0, (0.0, 0.0, 0.0), True, motors=[(a + 1) / 2 for a in action])
    return after, track


@pytest.mark.parametrize("name", CRAFTS)
def test_a_lost_rotor_is_found_within_a_fifth_of_a_second_with_its_number_and_share(name):
    for rotor, lost in ((0, 1.0), (1, 0.7), (2, 1.0), (3, 0.5)):
        after, track = flown(name, rotor, lost)
        assert after is not None and 0 < after < 0.2
        assert track.lost.number == rotor and 0.3 <= track.lost.share <= lost + 0.1


def test_the_share_of_a_lost_rotor_is_learnt_while_it_flies_on():
    _, track = flown("crazyflie", 2, 0.6, 1.0, whole=True)
    assert track.lost.number == 2 and track.lost.share == pytest.approx(0.6, abs=0.08)


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.0])
@pytest.mark.parametrize("name", CRAFTS)
def test_a_rotor_that_is_stuck_at_more_than_the_hovers_speed_is_found_with_its_number_and_speed(name, speed):
    for rotor in range(4):
        after, track = flown(name, rotor, stuck=speed)
        assert after is not None and 0 < after < 0.2
        assert track.lost.number == rotor and track.lost.stuck == pytest.approx(speed, abs=0.2)
        assert f"rotor {rotor + 1} of 4 is stuck at" in track.lost.finding.detail


def test_a_rotor_that_is_stuck_at_less_counts_as_weak_until_its_thrust_has_not_followed_the_command():
    for rotor in range(4):
        after, track = flown("crazyflie", rotor, stuck=0.3, seconds=FAILS + 0.5, whole=True, told=(told := []))
        assert 0 < after < 0.2 and track.lost.number == rotor and track.lost.stuck == pytest.approx(0.3, abs=0.08)
        shares, speeds, stuck = told[-1][1]
        assert min(shares) == 1 and speeds[rotor] == stuck[rotor] == track.lost.stuck and sorted(stuck)[2] == -1


def test_a_rotor_that_gives_a_share_of_a_varied_thrust_is_weak_and_one_that_gives_the_same_is_stuck():
    weak = stuck = Thrusts()
    for n in range(200):
        x = 0.07 + 0.03 * np.sin(0.3 * n)
        weak, stuck = weak.after(x, 0.4 * x, 0.01, 0.3), stuck.after(x, 0.04, 0.01, 0.3)
        if n == 0:
            assert stuck.tells(0.0, 0.005, 0.5) is None  # one thrust tells nothing
    assert weak.tells(0.2, 0.005, 0.5) is False and stuck.tells(0.2, 0.005, 0.5) is True
    assert stuck.tells(0.4, 0.005, 0.5) is None


@pytest.mark.parametrize("name", CRAFTS)
def test_the_guide_is_told_of_a_weak_rotor_before_that_is_certain(name):
    for rotor, lost in ((0, 1.0), (1, 0.7), (2, 1.0), (3, 0.5)):
        after, _ = flown(name, rotor, lost, told=(told := []))
        first, (shares, *_) = next((since, known) for since, known in told if known is not None and min(known[0]) < 1)
        assert 0 < first <= 0.06 and first < after - 0.03
        assert np.argmin(shares) == rotor and 1 - shares[rotor] > 0.2


def test_after_a_suspicion_the_guide_is_told_that_all_rotors_are_whole():
    after, _ = flown("crazyflie", 1, 0.5, 1.2, heals=0.05, told=(told := []))
    shares = [None if known is None else min(known[0]) for _, known in told]
    weak = np.flatnonzero([share is not None and share < 1 for share in shares])
    assert after is None and 0 < len(weak) < 15
    assert shares[0] is None and shares[-1] is None and shares.count(1.0) > 5  # it may miss one message, not five
    assert None not in shares[weak[0] : weak[-1] + 5]


@pytest.mark.parametrize("name", CRAFTS)
def test_a_vehicle_that_is_a_fifth_stronger_or_weaker_and_one_with_a_steady_torque_are_not_blamed(name):
    for thrust, torque in ((0.85, 0.0), (1.2, 0.0), (1.0, 15.0)):
        assert flown(name, seconds=1.2, thrust=thrust, torque=torque)[0] is None


@pytest.mark.parametrize("name", CRAFTS)
def test_a_rotor_whose_loss_vanishes_is_no_longer_lost_and_one_that_stays_weak_is(name):
    told = []
    assert flown(name, 1, 0.5, 1.6, whole=True, heals=0.3, told=told)[1].lost is None
    shares = [known and min(known[0]) for since, known in told if since > 0.4]  # the guide hears of it
    assert shares[0] < 1 and shares[-1] is None and shares.count(1.0) > 5
    for share in (0.3, 0.5):
        assert flown(name, 1, share, 1.6, whole=True)[1].lost.share == pytest.approx(share, abs=0.1)


def test_commands_of_rates_are_not_judged():
    assert follow_rotors(RotorTrack(), STILL, (0.0,) * 4, RotorLimits()) == RotorTrack()


def test_faults_wait_for_a_suspicion_for_a_short_time_and_while_a_rotor_is_lost():
    limits = RotorLimits()
    found = (Finding(Fault.ENVELOPE, "leans"), Finding(Fault.STATE_LOST, "none"))
    suspects = RotorTrack(last=STILL._replace(stamp=5.0 + limits.waits / 2), suspect=LostRotor(1, 0.5), since=5.0)
    assert RotorTrack(last=STILL).sift(found, limits) == found
    assert suspects.sift(found, limits) == found[1:]
    assert suspects._replace(since=5.0 - limits.waits).sift(found, limits) == found
    lost = suspects._replace(since=0.0, lost=LostRotor(1, 0.6))
    assert lost.sift(found, limits) == found[1:]


def test_a_lost_rotor_stays_lost_while_nobody_commands_motors():
    lost = RotorTrack(last=STILL, lost=LostRotor(1, 0.6))
    assert follow_rotors(lost, STILL, None, RotorLimits()).lost == lost.lost
