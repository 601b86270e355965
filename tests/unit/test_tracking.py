"""Following a trajectory: absolute facts for who stands still, and the guide for who follows."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.evaluate import GuideController
from spike_ctrl.guide import GeometricGuide
from spike_ctrl.tracking import Tracking, table, track
from spike_ctrl.trajectory import Trajectory

CRAZYFLIE = airframe.find("crazyflie")


class StandingStill:
    """Hovers where it is, whatever it sees."""

    def begin(self, vehicles):
        self.action = np.full((vehicles, 4), 2 * CRAZYFLIE.hover - 1, np.float32)

    def act(self, observation, environment):
        return self.action


def test_who_stands_still_is_one_radius_from_every_point_of_a_circle():
    found = track(StandingStill(), CRAZYFLIE, Trajectory("circle", size=0.8), rounds=1)
    assert (found.mean, found.rmse, found.worst) == pytest.approx((0.8, 0.8, 0.8), abs=2e-3)
    assert found.beyond == 1


def test_who_stands_still_where_the_set_point_stays_is_on_it():
    found = track(StandingStill(), CRAZYFLIE, Trajectory("hover"), rounds=1)
    assert found.worst < 1e-2 and found.beyond == 0


def test_the_guide_follows_a_figure_eight_and_the_preview_is_what_lets_it():
    def by_guide(preview):
        return track(GuideController(GeometricGuide(CRAZYFLIE)), CRAZYFLIE, Trajectory("figure8"), preview=preview)

    assert by_guide(0.2).mean < 0.15 < by_guide(0.0).mean


def test_the_table_is_in_centimetres():
    text = table("circle", {"somebody": Tracking(0.012, 0.02, 0.3, 0.05)})
    assert text.splitlines()[1].split() == ["somebody", "1.2", "2.0", "30.0", "5.0%"]
