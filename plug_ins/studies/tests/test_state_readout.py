"""What a spiking state knows of its airframe: the read-out finds what is there, and nothing where there is nothing."""

import numpy as np
import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl.cli.main import main
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.airframe_sampler import DrawnVehicle
from spike_ctrl_studies import figures, readout_chart, state_readout
from spike_ctrl_studies.state_readout import StateReadout, explained, properties

RANDOM = np.random.default_rng(4)


def test_a_linear_property_is_read_out_whole_and_one_that_is_not_there_not_at_all():
    features = RANDOM.normal(size=(4000, 30))
    linear = features @ RANDOM.normal(size=30)
    half_noise = linear / linear.std() + RANDOM.normal(size=4000)
    r2 = explained(features, np.stack([linear, half_noise, RANDOM.normal(size=4000)], 1))
    assert r2[0] > 0.99 and 0.45 < r2[1] < 0.55 and -0.05 < r2[2] < 0.02


def test_the_authority_of_the_crazyflie_is_that_of_its_data_sheet():
    craft = airframes.load("crazyflie")
    mass, ratio, lag, authority = properties(DrawnVehicle(craft, np.zeros(3), 1.0)).values()
    assert (mass, lag) == (0.027, 0.072) and ratio == craft.thrust_to_weight
    assert authority == pytest.approx(2 * craft.thrust(1.0) * 0.028 / craft.inertia[0])


def test_behind_an_autopilot_it_is_the_throttle_of_the_hover_and_the_time_to_an_effect_that_may_be_known():
    craft = airframes.load("sih_quadx")
    told = properties(DrawnVehicle(craft, np.zeros(3), 1.0, late=2, hover=craft.hover))
    assert told["told_thrust"] == pytest.approx(1.0)  # where it is told the truth
    assert told["late"] > 0.02 + craft.rate_loop.delay + craft.lag_up  # two control steps, and a filter too
    found = state_readout.read_state(
        checkpoint.load("models/any_rates.safetensors").policy, airframes.load("any_rates"), airframes=32
    )
    assert set(found.state) == set(told) == set(found.seen) and readout_chart.figure(found)


def test_a_state_is_read_every_fifth_of_a_second_and_drawn(tmp_path):
    policy = checkpoint.load("models/crazyflie_robust.safetensors").policy
    found = state_readout.read_state(policy, airframes.load("any_quad"), airframes=32)
    assert found.seconds[0] == 0.2 and found.seconds[-1] == 5.0 and np.isfinite(found.state["mass"]).all()
    figures.save_png(readout_chart.figure(found), tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    assert isinstance(found, StateReadout) and set(found.seen) == set(found.state)


def test_a_place_that_cannot_be_written_is_refused(tmp_path, capsys):
    assert main(["inspect", "models/crazyflie.safetensors", "--readout", str(tmp_path)]) == 2
    assert "--readout: found the folder" in capsys.readouterr().err
