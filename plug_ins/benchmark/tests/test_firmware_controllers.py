"""The Crazyflie firmware's PID and Mellinger: signs, steady errors that theory gives, and an independent Mellinger.

- at rest on the set-point they hover; each error moves the motors that mend it
- under a constant force and without integrals they stay off by what their gains say; with integrals they come back
- they hold a hover and follow the reference figures on the nominal crazyflie
"""

import dataclasses
import importlib.util
import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.cli import main
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation import tracking
from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl.sim import dynamics, observation
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark import motor_counts
from spike_ctrl_benchmark.firmware_pid import FirmwarePid, PidGains
from spike_ctrl_benchmark.mellinger import Mellinger, MellingerGains

CRAFT = airframe.load("crazyflie")
WEIGHT = CRAFT.mass * 9.81
FORCE = 0.02  # N
NONE = (0.0, 0.0, 0.0)
MEMORYLESS = MellingerGains(position_integral=NONE, attitude_integral=NONE)


def without_integrals(gains):
    levels = ("position", "velocity", "attitude", "rates")
    return dataclasses.replace(gains, **{name: getattr(gains, name)._replace(integral=NONE) for name in levels})


def answer(guide, position=(0, 0, 0), quaternion=(0, 0, 0, 1), velocity=(0, 0, 0), rates=(0, 0, 0)):
    """The action of the first step, in our order: front-right, back-right, back-left, front-left."""
    return guide.act(observation.build(position, quaternion, velocity, rates)[None], guide.initial_state(1))[0][0]


def pushed(guide, seconds=8.0):
    """Where vehicles end that a force pushes to the east (N, 3)."""
    environment, seen = tracking.hovering(CRAFT, 2, int(100 * seconds), Randomisation())
    dynamics.write(environment.buffer, slice(dynamics.FORCE, dynamics.FORCE + 3), np.tile([FORCE, 0, 0], (2, 1)))
    controller = GuideController(guide, privileged=False)
    controller.begin(2)
    for _ in range(int(100 * seconds)):
        seen, *_ = environment.step(controller.act(seen, environment))
    return seen[:, :3]


@pytest.fixture(params=[FirmwarePid, Mellinger])
def guide(request):
    return request.param("crazyflie")


def test_they_are_guides(guide):
    assert isinstance(guide, Guide)


def test_at_rest_on_the_set_point_they_command_the_hover(guide):
    assert answer(guide) == pytest.approx([2 * CRAFT.hover - 1] * 4, abs=1e-6)


def test_each_error_moves_the_motors_that_mend_it(guide):
    hover = answer(guide)
    half = math.sin(0.05)
    right, back, ccw = slice(0, 2), slice(1, 3), slice(1, 4, 2)
    for errors, faster in [
        ({"rates": (-0.5, 0, 0)}, slice(2, 4)),  # rolls to the left: the left rotors push it back
        ({"rates": (0, -0.5, 0)}, back),  # its nose goes up
        ({"rates": (0, 0, -0.5)}, ccw),  # it turns clockwise seen from above
        ({"quaternion": (half, 0, 0, math.cos(0.05))}, right),  # lies on its right side
        ({"quaternion": (0, 0, half, math.cos(0.05))}, slice(0, 3, 2)),  # its nose is to the left
        ({"position": (-0.2, 0, 0)}, back),  # behind the set-point: nose down
        ({"position": (0, 0.2, 0)}, slice(2, 4)),  # left of it: roll to the right
        ({"velocity": (0, 0, -0.3)}, slice(0, 4)),  # sinks
    ]:
        change = answer(guide, **errors) - hover
        assert (change[faster] > 1e-3).all(), errors
        assert np.delete(change, np.arange(4)[faster]).max(initial=-1) < -1e-3, errors


def test_the_pid_without_integrals_stays_off_by_the_tilt_that_holds_the_force():
    off = math.degrees(math.atan(FORCE / WEIGHT)) / (2.0 * 25.0)  # 2 m/s per m, 25 degrees per m/s
    assert pushed(FirmwarePid("crazyflie", without_integrals(PidGains())))[:, 0] == pytest.approx(off, rel=0.02)


def test_mellinger_without_integrals_stays_off_by_force_over_gain():
    assert pushed(Mellinger("crazyflie", MEMORYLESS))[:, 0] == pytest.approx(FORCE / 0.4, rel=0.02)


@pytest.mark.parametrize("make, gains", [(FirmwarePid, without_integrals(PidGains())), (Mellinger, MEMORYLESS)])
def test_with_integrals_they_come_back(make, gains):
    assert (pushed(make("crazyflie"), 15.0)[:, 0] < 0.75 * pushed(make("crazyflie", gains), 15.0)[:, 0]).all()


def test_they_hold_a_hover_and_follow_a_slow_circle_and_figure_eight(guide):
    controller = GuideController(guide, privileged=False)
    assert tracking.track(controller, Trajectory("hover"), rounds=1).worst < 0.005
    for kind in ("circle", "figure8"):
        assert tracking.track(controller, Trajectory(kind, period=12.0), rounds=1).rmse < 0.15


def test_a_new_episode_begins_with_nothing_remembered(guide):
    rows = np.repeat(observation.build((0.3, 0.2, -0.1), (0, 0, 0, 1), (0, 0, 0), (0.1, 0, 0))[None], 2, axis=0)
    _, state = guide.act(rows, guide.initial_state(2))
    again, _ = guide.act(rows, guide.reset_rows(state, np.array([True, False])))
    first, _ = guide.act(rows, guide.initial_state(2))
    assert (again[0] == first[0]).all() and (again[1] != first[1]).any()


def test_counts_beyond_the_highest_lower_all_motors_alike():
    counts = motor_counts.mixed(CRAFT, np.array([60000.0]), np.array([[20000.0, 0, 0]]))[0]
    assert counts.tolist() == [45535.0, 45535.0, 65535.0, 65535.0]


def test_they_do_not_fly_an_airframe_that_takes_rates(capsys):
    for name in ("--pid", "--mellinger"):
        assert main.main(["eval", name, "--airframe", "sih_quadx"]) == 2
        assert capsys.readouterr().err == "error: airframe sih_quadx: action_layout: found 'rates', wanted 'motors'\n"


@pytest.mark.skipif(not importlib.util.find_spec("drone_controllers"), reason="drone-controllers is not installed")
def test_mellinger_gives_the_motor_forces_that_drone_controllers_gives(monkeypatch):
    """drone-controllers is an independent port of the firmware's controller, with its fixed 132000 counts per N."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # it refuses to be imported without; numpy arrays do not need it
    from drone_controllers.mellinger import attitude2force_torque, state2attitude
    from scipy.spatial.transform import Rotation

    full = 65535 / 132000 / 4  # N: with it their counts per newton are ours
    craft = dataclasses.replace(CRAFT, thrust_curve=(0.0, 0.0, full))
    mellinger, random = Mellinger(craft), np.random.default_rng(5)
    gains = mellinger.gains
    mixing, reach, torque = np.array([[-1, -1, 1, 1], [-1, 1, 1, -1], [-1, 1, -1, 1]], float), 0.03, 0.006
    for _ in range(20):
        position, velocity, rates = (random.uniform(-s, s, 3) for s in (0.05, 0.05, 0.2))  # no motor saturates
        quaternion = Rotation.from_euler("xyz", random.uniform(-0.05, 0.05, 3)).as_quat()
        command, _ = state2attitude(
            position, quaternion, velocity, rates, np.zeros(13), mass=craft.mass, kp=np.array(gains.position),
            kd=np.array(gains.velocity), ki=np.array(gains.position_integral), gravity_vec=np.array([0, 0, -9.81]),
            mass_thrust=132000, int_err_max=np.array(gains.position_limit), thrust_max=full, pwm_max=65535.0, ctrl_freq=100,
        )  # fmt: skip
        force, moment, _ = attitude2force_torque(
            position, quaternion, velocity, rates, command, prev_ang_vel=rates, ctrl_freq=100, kR=np.array(gains.attitude),
            kw=np.array(gains.rates), ki_m=np.array(gains.attitude_integral), kd_omega=np.array(gains.rates_derivative),
            int_err_max=np.array(gains.attitude_limit), torque_pwm_max=np.full(3, 32000.0), thrust_max=full, pwm_min=0.0,
            pwm_max=65535.0, L=reach, thrust2torque=torque, mixing_matrix=mixing,
        )  # fmt: skip
        wanted = (force + (moment / np.array([reach, reach, torque])) @ mixing) / 4
        u = (answer(mellinger, position, quaternion, velocity, rates).astype(float) + 1) / 2
        assert full * u**2 == pytest.approx(wanted, rel=1e-3, abs=1e-6)
