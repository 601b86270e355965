"""Simulators that others wrote: which rotor turns how fast for a command, and what that does to the vehicle.

- without the simulators: the maps by the vehicles' published parameters, starts, crashes and figures
- where they are installed: the same four facts of flight in each of them
"""

import importlib.util
import json
import os
import subprocess
import sys

import crazyflow_drone
import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation.controllers import FunctionController, GuideController
from spike_ctrl_benchmark import crazyflow_simulator, other_simulators, rotorpy_simulator
from spike_ctrl_benchmark.other_simulators import HEIGHT, FlownStates, starts
from spike_ctrl_benchmark.rotor_map import RotorMap

# Of rotorpy/vehicles/crazyflie_params.py: its rotors go front-left, front-right, back-right, back-left.
REACH = 0.043 * np.sqrt(0.5)
ROTORPY = {
    "mass": 0.03,
    "k_eta": 2.3e-8,
    "rotor_speed_max": 2500,
    "rotor_directions": np.array([1, -1, 1, -1]),
    "rotor_pos": {
        "r1": np.array([REACH, REACH, 0]),
        "r2": np.array([REACH, -REACH, 0]),
        "r3": np.array([-REACH, -REACH, 0]),
        "r4": np.array([-REACH, REACH, 0]),
    },
}
# Of crazyflow/dynamics/first_principles/params.toml, cf2x_L250: rows are the signs of roll, pitch and yaw.
CRAZYFLOW = {
    "mass": 0.0328,
    "L": 0.03253,
    "thrust_max": 0.12,
    "rpm2thrust": [0.0, -5.382196214637237e-7, 2.4582929831265485e-10],
    "mixing_matrix": [[-1, -1, 1, 1], [-1, 1, 1, -1], [-1, 1, -1, 1]],
}
MAPS = {"rotorpy": rotorpy_simulator.rotor_map(ROTORPY), "crazyflow": crazyflow_simulator.rotor_map(CRAZYFLOW)}
ROLL_LEFT_UP, BACK_UP, COUNTER_CLOCKWISE = (0, 0, 1, 1), (0, 1, 1, 0), (0, 1, 0, 1)  # our order, from the front-right


@pytest.mark.parametrize("name", MAPS)
def test_the_thrust_of_the_hover_command_is_the_weight(name):
    rotors = MAPS[name]
    speed = rotors.speeds(np.full((1, 4), rotors.hover))[0, 0]
    c0, c1, c2 = rotors.thrust
    assert 4 * (c0 + c1 * speed + c2 * speed**2) == pytest.approx(rotors.mass * 9.81)


def test_the_hover_is_at_the_speed_with_which_rotorpy_itself_begins():
    assert MAPS["rotorpy"].hover * MAPS["rotorpy"].top == pytest.approx(1788.53, abs=0.1)


def test_the_full_command_of_crazyflow_is_its_highest_thrust():
    assert MAPS["crazyflow"].thrust_to_weight == pytest.approx(4 * 0.12 / (0.0328 * 9.81))


def test_the_airframe_after_a_drone_of_crazyflow_moves_as_that_does():
    with np.load(crazyflow_drone.FILE) as kept:
        theirs = kept["last"]
    ours = crazyflow_drone.fly_here(airframe.load("crazyflie_21b"))
    moved = np.abs(theirs).max(0)  # .7 m/s and more, .9 rad/s about the yaw axis and 3 about the others
    assert (np.abs(ours - theirs)[:, :5] < 0.06 * moved[:5]).all()
    assert np.abs(ours - theirs)[:, 5].max() < 0.2  # the propellers' momentum turns it, too
    other = crazyflow_drone.fly_here(airframe.load("crazyflie_brushless"))
    assert not (np.abs(other - theirs)[:, :5] < 0.3 * moved[:5]).all()


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(
    ("command", "faster"),
    [(ROLL_LEFT_UP, lambda r: np.array(r.y) > 0), (BACK_UP, lambda r: np.array(r.x) < 0),
     (COUNTER_CLOCKWISE, lambda r: np.array(r.spin) > 0)],
)  # fmt: skip
def test_a_pure_moment_speeds_up_the_rotors_that_give_it(name, command, faster):
    rotors = MAPS[name]
    assert (rotors.speeds(np.array([command], float))[0] > 0).tolist() == faster(rotors).tolist()


def test_each_simulator_has_its_own_order_of_rotors():
    assert MAPS["crazyflow"].order == (0, 1, 2, 3)
    assert MAPS["rotorpy"].order == (3, 0, 1, 2)


@pytest.mark.parametrize("name", MAPS)
def test_both_turn_their_rotors_as_our_crazyflie_does(name):
    MAPS[name].require_spin(airframe.load("crazyflie"))


def test_rotors_that_turn_the_other_way_are_refused():
    mirrored = rotorpy_simulator.rotor_map(ROTORPY | {"rotor_directions": np.array([-1, 1, -1, 1])})
    message = r"rotor front-left: found a reaction torque of sign -1, wanted \+1 as that of airframe crazyflie"
    with pytest.raises(UsageError, match=message):
        mirrored.require_spin(airframe.load("crazyflie"))


def test_two_rotors_in_one_quadrant_are_refused():
    with pytest.raises(UsageError, match="wanted one in each quadrant"):
        _ = RotorMap((1, 1, -1, -1), (1, 1, -1, -1), (1, -1, 1, -1), 1.0, "rpm", (0, 0, 1), 1.0).order


def test_tilted_starts_are_tilted_by_30_degrees_and_near_ones_are_level():
    for kind, cosine in (("near", 1.0), ("tilted", np.cos(np.radians(30)))):
        states = starts(kind, seed=1)
        rows = other_simulators.observed(states, np.zeros(len(states.position), bool))
        assert rows[:, 11] == pytest.approx(cosine, abs=1e-6)
        assert np.abs(states.position - (0, 0, HEIGHT)).max() <= 0.1


def test_the_same_seed_gives_the_same_starts_and_another_seed_others():
    assert (starts("near", 3).position == starts("near", 3).position).all()
    assert not (starts("near", 3).position == starts("near", 4).position).any()


class Frozen:
    """Vehicles that stay where they are put; the last one is gone."""

    name, assumptions, rotors = "frozen", (), MAPS["rotorpy"]

    def begin(self, states):
        position = states.position * 0 + (0.03, 0.04, HEIGHT)
        position[-1, 0] = np.nan
        self.states = states._replace(position=position)

    def step(self, command):
        self.seen = command
        return self.states


def test_error_and_crashes_are_those_of_the_flight():
    simulator = Frozen()
    found = other_simulators.fly_simulator(FunctionController(lambda o: np.full((len(o), 4), 0.5)), simulator, seed=1)
    assert found["near"].error_m["median"] == pytest.approx(0.05) and found["near"].crashes == 0
    assert found["tilted"].crashes == 1 / other_simulators.VEHICLES
    assert found["near"].action_change == 0 and (simulator.seen == 0.75).all()  # u of the action .5


def test_a_guide_that_wants_to_know_the_plant_does_not_fly_elsewhere():
    with pytest.raises(ValueError, match="a privileged guide: found a vehicle that others simulate"):
        other_simulators.fly_simulator(GuideController(GeometricGuide("crazyflie")), Frozen(), seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "1"], "--seed: found without --simulator, wanted with it"),
        (["--simulator", "rotorpy", "--protocol", "hover"], "--protocol: found with --simulator, wanted only one of them"),
        (["--simulator", "rotorpy", "--seed", "-1"], "--seed: found -1, wanted 0 or more"),
        (["--simulator", "rotorpy", "--seeds", "2"], "--seeds: found with --simulator, wanted --seed, that of its starts"),
        (
            ["--compensate-battery"],
            "--compensate-battery: found airframe crazyflie without a battery, "
            "wanted an airframe with a battery in our simulator",
        ),
    ],
)
def test_what_does_not_go_with_another_simulator_is_refused(arguments, message, capsys):
    assert main.main(["eval", "--guide", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.skipif(importlib.util.find_spec("rotorpy") is not None, reason="RotorPy is installed")
def test_a_simulator_that_is_missing_is_named_with_the_way_to_get_it(capsys):
    assert main.main(["eval", "--guide", "--simulator", "rotorpy"]) == 2
    assert capsys.readouterr().err.endswith("pip install -r requirements/simulators.txt\n")


FACTS = """
import json, sys
import numpy as np
from spike_ctrl_benchmark.crazyflow_simulator import CrazyflowSimulator
from spike_ctrl_benchmark.rotorpy_simulator import RotorpySimulator
from spike_ctrl_benchmark.other_simulators import FlownStates
simulator = RotorpySimulator(5) if sys.argv[1] == "rotorpy" else CrazyflowSimulator("cf2x_L250", 5)
quaternion = np.tile([0.0, 0.0, 0.0, 1.0], (5, 1))
quaternion[4] = np.sin(np.radians(15)), 0, 0, np.cos(np.radians(15))
simulator.begin(FlownStates(np.tile([0.0, 0.0, 2.0], (5, 1)), quaternion, np.zeros((5, 3)), np.zeros((5, 3))))
command = np.full((5, 4), simulator.rotors.hover)
for vehicle, more in enumerate([(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 1, 0), (0, 1, 0, 1)]):
    command[vehicle] += 0.02 * (2 * np.array(more) - 1) * (vehicle > 0)
for _ in range(10):
    states = simulator.step(command)
print(json.dumps([np.asarray(part, float).tolist() for part in states]))
"""


@pytest.mark.parametrize("name", MAPS)
def test_commands_and_quaternions_mean_in_the_simulator_what_they_mean_here(name):
    """A hover stays; left rotors up roll to the right, back rotors up pitch the nose down, rotors that turn clockwise yaw to
    the left; a vehicle rolled to the right accelerates to the right, which is -y."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install -r requirements/simulators.txt")
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", FACTS, name], env=environment, capture_output=True, text=True, check=True)
    states = FlownStates(*(np.array(part) for part in json.loads(done.stdout.splitlines()[-1])))
    assert np.abs(states.velocity[0]).max() < 0.02 and np.abs(states.rates[0]).max() < 1e-3
    for vehicle, axis in ((1, 0), (2, 1), (3, 2)):
        others = np.delete(states.rates[vehicle], axis)
        assert states.rates[vehicle, axis] > 0.02 and np.abs(others).max() < 0.2 * states.rates[vehicle, axis]
    assert states.velocity[4, 1] == pytest.approx(-9.81 * np.sin(np.radians(30)) * 0.1, rel=0.1)
    assert abs(states.velocity[4, 0]) < 0.01
