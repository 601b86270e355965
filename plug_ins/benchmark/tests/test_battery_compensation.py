"""Battery compensation: the same command gives the same thrust at every voltage, as far as the rotors can."""

import dataclasses

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.airframe import BatteryModel
from spike_ctrl.evaluation import tracking
from spike_ctrl.evaluation.controllers import FunctionController
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark.compensation import BatteryCompensated

NOMINAL, FLAT = 4.2, 3.6  # V


def climb(compensated, volts=FLAT):
    """Vertical speeds (N,) after half a second of the command that hovers at the nominal voltage."""
    battery = BatteryModel(
        full=volts, empty=volts - 0.01, nominal=NOMINAL, sag=0.0, sag_time=0.1, endurance=1e5, exponent=0.9
    )
    craft = dataclasses.replace(airframe.load("crazyflie"), battery=battery)
    hover = FunctionController(lambda o: np.full((len(o), 4), 2 * craft.hover - 1))
    controller = BatteryCompensated(hover) if compensated else hover
    environment, seen = tracking.hovering(craft, 2, 50, Randomisation())
    controller.begin(2)
    for _ in range(50):
        seen, *_ = environment.step(controller.act(seen, environment))
    return seen[:, 14]


def test_with_a_flat_battery_the_hover_command_sinks_and_the_compensated_one_hovers():
    assert (climb(compensated=False) < -0.3).all()
    assert climb(compensated=True) == pytest.approx(0, abs=0.02)


def test_at_the_nominal_voltage_nothing_changes():
    assert climb(True, NOMINAL) == pytest.approx(climb(False, NOMINAL), abs=1e-5)


def test_a_vehicle_without_a_battery_is_refused():
    with pytest.raises(ValueError, match="found a vehicle without a battery, wanted an airframe with one"):
        BatteryCompensated(FunctionController(lambda o: o[:, :4])).act(np.zeros((1, 18)), None)
