"""Episodes on a Warp device: `Environment` of the processor is the oracle, from the same seed and under the same actions."""

import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("warp", reason="warp-lang, 400 MB, is not installed: pip install './plug_ins/warp[gpu]'")

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import BatteryModel
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates, Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss
from spike_ctrl_warp.device_environment import DeviceEnvironment

pytestmark = pytest.mark.slow
WILD = Randomisation(
    mass=0.2, inertia=0.2, thrust=0.2, torque=0.2, lag=0.2, force=0.03, moment=1e-4, delay=2, gains=0.3, filters=0.3,
    body_drag=0.3, velocity_moment=0.3, charge_low=0.3, moment_z=0.2, angular_drag=0.5,
)  # fmt: skip
FAILING = RotorLoss(chance=0.7, least=0.2, most=0.9, whole=0.3, stuck=0.4, latest=0.3, over=0.2)


def extended():
    battery = BatteryModel(full=4.2, empty=3.2, nominal=4.0, sag=0.5, sag_time=0.3, endurance=300.0, exponent=0.9)
    return dataclasses.replace(
        airframe.load("crazyflie_l2f"), body_drag=(0.01, 0.01, 0.008), velocity_moment=(3e-4, 3e-4), dead_time=0.015,
        battery=battery,
    )  # fmt: skip


CASES = {
    "the airframe as it is": (airframe.load("crazyflie"), Randomisation()),
    "plants that are drawn": (airframe.load("crazyflie"), WILD),
    "battery, drag, dead time": (extended(), dataclasses.replace(WILD, delay=1, dead_time=0.01)),
    "rotors that fail": (extended(), dataclasses.replace(WILD, delay=0, rotor_loss=FAILING)),
    "body rates": (airframe.load("sih_quadx"), WILD),
    "correlated factors": (airframe.load("crazyflie_real"), Randomisation(joint=1.0)),
}


@pytest.mark.parametrize(("craft", "differ"), CASES.values(), ids=CASES)
def test_episodes_are_those_of_the_processor(craft, differ):
    task = Task(box=0.6, episode_steps=25, start=InitialStates(yaw=1.0), randomisation=differ)
    ours, device = Environment(craft, 40, task), DeviceEnvironment(craft, 40, task)
    wanted, _ = ours.reset(seed=7)
    found = device.reset(seed=7)
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-6)
    rows = ours.read(slice(0, dynamics.SUMS))
    np.testing.assert_allclose(device.rows.numpy().T[:, : dynamics.SUMS], rows, rtol=1e-5, atol=2e-6)
    rng, ended = np.random.default_rng(1), 0
    for _ in range(60):  # every vehicle begins at least two episodes more
        actions = rng.uniform(-0.6, 0.9, (40, 4)).astype(np.float32)
        observation, reward, terminated, truncated, _ = ours.step(actions)
        stepped = device.step(torch.from_numpy(actions))
        np.testing.assert_array_equal(stepped.terminated.numpy(), terminated)
        np.testing.assert_array_equal(stepped.truncated.numpy(), truncated)
        np.testing.assert_allclose(stepped.observation.numpy(), observation, rtol=1e-5, atol=3e-5)
        np.testing.assert_allclose(stepped.reward.numpy(), reward, rtol=1e-4, atol=1e-4)
        ended += terminated.sum() + truncated.sum()
    assert ended > 80


def test_the_noise_of_observations_has_its_deviation():
    task = Task(randomisation=Randomisation(noise=2.0))
    device = DeviceEnvironment(airframe.load("crazyflie"), 4000, task)
    noise = device.reset(seed=1) - device.observation
    assert noise.std(0).numpy() == pytest.approx(2 * np.repeat([0.01, 0.01, 0.03, 0.05], [3, 9, 3, 3]), rel=0.05)


@pytest.mark.parametrize("name", ["any_quad", "real"])
def test_what_only_the_processor_flies_is_refused(name):
    plan = recipes.find(name)
    task = Task(randomisation=plan.task.randomisation, airframes=plan.task.airframes)
    with pytest.raises(UsageError, match=r"task\.\S+: found some, wanted none on a device"):
        DeviceEnvironment(airframe.load("any_quad" if name == "any_quad" else "crazyflie_real"), 8, task)
