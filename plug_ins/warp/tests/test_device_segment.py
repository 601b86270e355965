"""Segments of flight on a Warp device: the numba kernels of the processor are the oracle, for states and for gradients.

Both methods draw the same flights, so one update of each recipe compares every term that the recipe turns on.
"""

import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("warp", reason="warp-lang, 400 MB, is not installed: pip install './plug_ins/warp[gpu]'")

from spike_ctrl import airframe
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.bptt import BPTT, TILE
from spike_ctrl.sim import dynamics
from spike_ctrl_warp import vehicle_equations as vehicle
from spike_ctrl_warp.devices import methods

pytestmark = pytest.mark.slow
ALL_TERMS = {
    "speed": 0.5, "speed_at": 0.7, "tilt": 1.0, "tilt_at": 0.3, "body_rate": 0.2, "body_rate_at": 1.5, "boundary_at": 0.3,
    "far": 0.5, "limit": 5.0, "decay": 0.98, "gradient_clip": 1e6,
}  # fmt: skip
RECIPES = {
    "motors": ("default", "crazyflie", {}),
    "a hard reset": ("default", "crazyflie_l2f", {"reset": "hard"}),
    "late commands, noise, a recurrent layer": ("robust", "crazyflie", {}),
    "body rates": ("rates", "sih_quadx", {}),
    "airframes that are drawn": ("any_quad", "any_quad", {}),
    "rates of airframes that are drawn": ("any_rates", "any_rates", {}),
    "rotors that fail": ("any_rotor", "crazyflie_drag", {}),
    "errors of sensors": ("real", "crazyflie_real", {}),
    "the voltage": ("real_voltage", "crazyflie_real", {}),
}


def plan(name, changes, **more):
    found = recipes.find(name)
    settings = ALL_TERMS | {"updates": 1, "vehicles": 2 * TILE, "pool": 2 * TILE, "segment": 12, "shadow": 0.0} | more
    network = dataclasses.replace(found.network, hidden=(24, 12), **changes)
    gradient = dataclasses.replace(found.bptt, **settings)
    return dataclasses.replace(found, network=network, bptt=gradient, weights="")


def pair(name, craft, changes, **more):
    """The method on the processor, and with Warp there, of one seed; and the actors of both."""
    recipe, craft = plan(name, changes, **more), airframe.load(craft)
    students = []
    for make in (BPTT, methods("warp")["bptt"]):
        actor = actors.make(recipe.network, craft, torch.Generator().manual_seed(0))
        method = make(recipe, craft, 32, 0, actor, torch.Generator())
        rng = np.random.default_rng(3)
        method.starts[:64] = np.concatenate([
            rng.uniform(-0.5, 0.5, (64, 3)), unit(rng.normal(size=(64, 4)) * [0.3, 0.3, 0.3, 1]),
            rng.normal(0, 0.5, (64, 6)), rng.uniform(0.3, 0.8, (64, 4)),
        ], 1)  # fmt: skip
        method.received = 64
        students.append((method, actor))
    return students


def unit(quaternions):
    return quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)


def updated(method, actor, times=1):
    average = AveragedNetwork(actor, 1)
    return [method.update(0.5, 2.0, average) for _ in range(times)]


def moving(method):
    return np.concatenate(
        [dynamics.read(tile.buffer, slice(0, dynamics.ROWS), TILE)[:, vehicle.MOVING] for tile in method.tiles]
    )


@pytest.mark.parametrize(("name", "craft", "changes"), RECIPES.values(), ids=RECIPES)
def test_a_segment_and_its_gradient_are_those_of_the_processor(name, craft, changes):
    (ours, actor), (device, twin) = pair(name, craft, changes)
    (wanted,), (found,) = updated(ours, actor), updated(device, twin)
    np.testing.assert_allclose(moving(device), moving(ours), rtol=1e-5, atol=1e-5)
    for mine, its in zip(ours.tiles, device.tiles, strict=True):
        np.testing.assert_array_equal(its.spike, mine.spike)
        for part in ("membrane", "command", "seen"):
            np.testing.assert_allclose(getattr(its, part), getattr(mine, part), rtol=1e-5, atol=1e-5, err_msg=part)
    assert found["actor_loss"] == pytest.approx(wanted["actor_loss"], rel=1e-5)
    for (label, parameter), other in zip(actor.named_parameters(), twin.parameters(), strict=True):
        error = (other.grad - parameter.grad).norm() / parameter.grad.norm()
        assert error < 1e-4, f"{label}: {error:.1e}"


def test_segments_follow_each_other_as_on_the_processor():
    (ours, actor), (device, twin) = pair("robust", "crazyflie", {}, segment=5)
    wanted, found = updated(ours, actor, 4), updated(device, twin, 4)
    assert [one["actor_loss"] for one in found] == pytest.approx([one["actor_loss"] for one in wanted], rel=1e-4)


def test_a_run_goes_on_from_what_the_processor_has_saved():
    (ours, actor), (device, twin) = pair("robust", "crazyflie", {})
    updated(ours, actor)
    twin.load_state_dict(actor.state_dict())
    device.optimiser.load_state_dict(ours.optimiser.state_dict())
    device.restore(*ours.state())
    (wanted,), (found,) = updated(ours, actor), updated(device, twin)
    assert found["actor_loss"] == pytest.approx(wanted["actor_loss"], rel=1e-5)


def test_equal_seeds_learn_alike_to_the_bit():
    def weights():
        _, (device, twin) = pair("default", "crazyflie", {})
        updated(device, twin, 2)
        return twin.layer0.weight.detach().numpy()

    np.testing.assert_array_equal(weights(), weights())
