"""The corners: what they are, and that the shipped policy flies all of them."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import Tracking, hovering
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import DELAY, LAG_UP, LOOP_FACTORS, MASS, THRUST
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark import off_nominal
from spike_ctrl_benchmark.off_nominal import CORNERS, EACH, Corner

SIH = airframe.load("sih_quadx")


def test_every_combination_is_flown_once_at_both_latencies():
    assert CORNERS[0] == Corner() and str(CORNERS[0]) == "as it should be"
    assert len(set(CORNERS)) == len(CORNERS) == 17
    assert str(Corner(0.8, 1.2, 1.2, 2)) == "mass -20 %, thrust +20 %, lag +20 %, 20 ms late"


def test_the_vehicles_of_a_corner_are_what_it_says():
    environment, _ = hovering(SIH, EACH * len(CORNERS), 10, Randomisation(delay=2))
    off_nominal.set_plants(environment)
    index = CORNERS.index(Corner(0.8, 1.2, 1.2, 2))
    rows = dynamics.rows(environment.buffer).transpose(0, 2, 1).reshape(-1, dynamics.ROWS)
    for row in rows[EACH * index : EACH * (index + 1)]:
        assert row[MASS] == pytest.approx(0.8) and row[THRUST + 1] == pytest.approx(6.0)
        assert row[LAG_UP] == pytest.approx(0.06) and row[DELAY] == 2
        np.testing.assert_allclose(row[LOOP_FACTORS : LOOP_FACTORS + 4], 1 / 1.2, rtol=1e-6)


def test_the_shipped_policy_flies_all_of_them():
    """Limits: hover RMSE .10 m, figure-eight RMSE .25 m and 95 % of it within .15 m, a step of 2 m settles within 3 s."""
    policy = checkpoint.load(resources.folder("models") / "sih_quadx.safetensors").policy
    for corner, flown in off_nominal.fly_corners(PolicyController(policy), SIH).items():
        assert flown["hover"].rmse <= 0.10, corner
        assert flown["figure8"].rmse <= 0.25 and flown["figure8"].passed, corner
        assert flown["step"].settling <= 3.0, corner


def test_the_table_has_a_line_for_each_corner():
    one = Tracking(0.01, 0.02, 0.03, 0.0, 1.5)
    text = off_nominal.corner_table(
        "somebody", {corner: dict.fromkeys(("hover", "step", "figure8"), one) for corner in CORNERS}
    )
    assert len(text.splitlines()) == 18
    assert text.splitlines()[1].split()[-4:] == ["2.0", "1.50", "2.0", "0.0%"]
