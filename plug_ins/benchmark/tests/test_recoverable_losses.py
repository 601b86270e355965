"""docs/recoverable_losses.py: commands that it finds keep a vehicle that a policy loses, in the protocol's own simulator."""

import sys

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl_benchmark.rotor_flights import PATHS, fly_path, kept_within

CRAFT = airframe.load("crazyflie_drag")


@pytest.fixture
def search(monkeypatch):
    pytest.importorskip("spike_ctrl_networks")
    monkeypatch.syspath_prepend(str(resources.folder("models").parent / "docs"))
    yield pytest.importorskip("recoverable_losses")
    sys.modules.pop("recoverable_losses", None)


@pytest.fixture
def robust():
    return PolicyController(checkpoint.load(resources.folder("models") / "crazyflie_robust.safetensors").policy)


def test_flights_go_on_from_the_failure_as_the_protocol_flies_them(search, robust):
    error, begun, *_ = fly_path(robust, CRAFT, PATHS["hover"], 16, seed=5)
    kept = kept_within(error, begun)
    who = search.failures(robust, CRAFT, PATHS["hover"], 16, seed=5)
    assert 0 < kept.sum() < 16
    at, step = who.rows[:, dynamics.FAILS_AT], 1 / search.RATE
    assert ((who.rows[:, dynamics.CLOCK] <= at + 1e-4) & (at < who.rows[:, dynamics.CLOCK] + step + 1e-4)).all()
    again = who.kept(search.flown(who, CRAFT, robust, search.actions(who, CRAFT, robust), 0))
    assert (again == kept).mean() >= 15 / 16  # without noise, and with an empty memory at the failure


def test_a_sudden_whole_loss_that_the_policy_loses_is_kept_by_commands(search, robust):
    who = search.failures(robust, CRAFT, PATHS["hover"], 64, seed=5)
    rows = who.rows
    sudden = (rows[:, dynamics.LOST : dynamics.STUCK].max(1) == 1) & (rows[:, dynamics.FALLS_OVER] < 0.1)
    who = who.of(sudden)
    first = search.actions(who, CRAFT, robust)
    found = search.improved(who, CRAFT, first, 80, late=0)
    far = [np.linalg.norm(search.flown(who, CRAFT, robust, u, search.OPEN), axis=-1) for u in (first, found)]
    assert far[0][: search.OPEN].max() > 4 and far[1][: search.OPEN].max() < 3
