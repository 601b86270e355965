"""Tunes a policy in flight: seconds of BPTT on plants around an estimate, from the weights in command.

    child = fine_tune(data, craft, estimate, yaw=setpoint_yaw, seed=1, name="sih_quadx+1")

Parameters are drawn from the estimate's covariance, correlations included. Whether thrust fell or mass grew is drawn as
well, since flight does not show it.
"""

import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from spike_ctrl import airframe as airframes
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight import rehearsal
from spike_ctrl.flight.rehearsal import PlantChange
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.bptt import BPTT, VehicleTile
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.snn import network as networks
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_adaptation import flown_transitions
from spike_ctrl_adaptation.plant_estimate import FORCE, NAMES, THRUST, TRIM, PlantEstimate, unchanged

RECIPES = {"rates": "rates", "motors": "robust"}
UPDATES, AT_ONCE, VEHICLES, SEGMENT = 60, 10, 32, 100  # updates in all and of one call
LEARNING_RATE, LEARNING_RATE_END = 8e-4, 1e-5
STARTS, NEAR, TILTED = 512, 0.25, 0.15  # states that flights begin from; m and m/s; rad
# Randomisation of the parameters that the estimate does not cover.
SPREAD = {
    "rates": Randomisation(inertia=0.05, torque=0.05, lag=0.1, gains=0.1, filters=0.1, delay=2, noise=0.5),
    "motors": Randomisation(inertia=0.05, torque=0.05, lag=0.1, delay=2, noise=0.5),
}
# Beyond: no quadrotor with four working rotors. m/s^2; rad/s^2
THRUST_RANGE, MOST_FORCE, MOST_TRIM = (0.55, 1.6), 6.0, 100.0
MOST_ASIDE = 0.1  # m that a child's place of rest is moved, at most
# m, by which a child may be farther off than its parent in the rehearsal: one that was tuned, one that learned from a flight
FARTHER, LEARNED = 0.005, 0.02


class TunedPolicy(NamedTuple):
    """data: the checkpoint. before, after: mean distance (m) from the set-point on the estimated plant, parent and child."""

    name: str
    data: bytes
    before: float
    after: float


def require_tunable(parent: Checkpoint, craft: Airframe) -> None:
    """Raise UsageError where policies of this kind cannot be tuned in flight."""
    contract = parent.manifest.contract
    if contract.action != craft.action_layout:
        raise UsageError(f"layout: found '{contract.action}', wanted '{craft.action_layout}' as of {craft.name}")
    if parent.manifest.learns_plant and contract.action == "motors":
        raise UsageError(
            "learns_plant: found true with layout motors, wanted a policy of one airframe: policies tuned from others fail "
            "in wind (docs/adapt.md)"
        )
    if contract.airframe_hash != craft.hash:
        raise UsageError(f"airframe_hash: found {contract.airframe_hash}, wanted {craft.hash}")
    if contract.observation != LAYOUT:
        raise UsageError(f"observation: found '{contract.observation}', wanted '{LAYOUT}'")
    if contract.neuron is None:
        raise UsageError(f"network: found {contract.network or 'a graph'}, wanted the spiking network of this library")


def changed_plant(craft: Airframe, estimate: PlantEstimate, yaw: float) -> PlantChange:
    """The plant of the estimate's mean, seen from a set-point of that yaw (rad). Raises UsageError: out of range."""
    factor, force = float(estimate.mean[THRUST]), estimate.mean[FORCE]
    if not THRUST_RANGE[0] <= factor <= THRUST_RANGE[1]:
        low, high = THRUST_RANGE
        raise UsageError(f"thrust: found {factor:.2f} of the airframe's, wanted {low} to {high}: four working rotors")
    if (size := float(np.linalg.norm(force))) > MOST_FORCE:
        raise UsageError(f"force: found {size:.1f} m/s^2, wanted at most {MOST_FORCE:g}")
    airframes.altered(craft, thrust=factor)
    trim = estimate.mean[TRIM]
    if craft.action_layout == "motors" and (size := float(np.linalg.norm(trim))) > MOST_TRIM:
        raise UsageError(f"trim: found {size:.0f} rad/s^2, wanted at most {MOST_TRIM:g}")
    x, y, z = (float(f) for f in Rotation.from_euler("z", -yaw).apply(force * craft.mass))
    a, b, c = (float(m) for m in _moment(trim, craft))
    return PlantChange(thrust=factor, force=(x, y, z), moment=(a, b, c))


def _moment(trim: np.ndarray, craft: Airframe) -> np.ndarray:
    """Moments (..., 3) in N m beside the airframe's own, of trims in rad/s^2. A rate loop removes them, and none is seen."""
    if craft.action_layout != "motors":
        return np.zeros_like(trim)
    return trim * craft.inertia - np.array(craft.trim_moment)


def draw_plants(
    estimate: PlantEstimate, craft: Airframe, vehicles: int, dice: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Factors of mass (N,) and of thrust (N,), forces (N, 3) in N of the true mass, moments (N, 3) in N m beside the
    airframe's, by the estimate's distribution."""
    drawn = dice.multivariate_normal(estimate.mean, estimate.covariance, vehicles, method="cholesky")
    factor, heavier = np.clip(drawn[:, THRUST], *THRUST_RANGE), dice.random(vehicles) < 0.5
    mass, thrust = np.where(heavier, 1 / factor, 1.0), np.where(heavier, 1.0, factor)
    return mass, thrust, drawn[:, FORCE] * (craft.mass * mass)[:, None], _moment(drawn[:, TRIM], craft)


class AroundEstimate(BPTT):
    """The model gradient on plants drawn around an estimate. turned: yaw (rad) of the set-point, in whose frame it flies."""

    def __init__(self, recipe: Recipe, craft: Airframe, seed: int, actor: Any, estimate: PlantEstimate, turned: float):
        super().__init__(recipe, craft, VEHICLES, seed, actor, torch.Generator().manual_seed(seed))
        self.estimate, self.turned = estimate, Rotation.from_euler("z", -turned)
        near, tilted = NEAR * self.random.standard_normal((STARTS, 9)), TILTED * self.random.standard_normal((STARTS, 3))
        attitude = Rotation.from_rotvec(tilted).as_quat()
        speed = np.full((STARTS, 4), min(craft.hover / estimate.mean[THRUST], 1.0))
        self.starts[:STARTS] = np.concatenate([near[:, :3], attitude, near[:, 3:], speed], axis=1)
        self.received = STARTS

    def _restart(self, tile: VehicleTile, who: np.ndarray, index: int) -> None:
        super()._restart(tile, who, index)
        if not (count := int(who.sum())):
            return
        mass, thrust, force, moment = draw_plants(self.estimate, self.airframe, count, self.random)
        rows = dynamics.read(tile.buffer, dynamics.PLANT_ROWS, self.size)
        place = dynamics.THRUST - dynamics.MASS
        rows[who, 0] *= mass
        rows[who, place : place + 3] *= thrust[:, None]
        disturbed = dynamics.read(tile.buffer, dynamics.DISTURBANCE_ROWS, self.size)
        disturbed[who, :3] += self.turned.apply(force)
        disturbed[who, 3:] += moment
        dynamics.write(tile.buffer, dynamics.PLANT_ROWS, rows)
        dynamics.write(tile.buffer, dynamics.DISTURBANCE_ROWS, disturbed)


def _tuned(parent: Checkpoint, craft: Airframe, estimate: PlantEstimate, yaw: float, seed: int) -> dict[str, np.ndarray]:
    """The weights after UPDATES updates. Raises UsageError."""
    require_tunable(parent, craft)
    changed_plant(craft, estimate, yaw)
    plan = _plan(craft.action_layout)
    neuron = parent.manifest.contract.neuron
    network = SpikingNetwork(parent.manifest.contract.sizes, neuron, generator=torch.Generator().manual_seed(seed))
    network.load_weights(parent.weights)
    method, average = AroundEstimate(plan, craft, seed, network, estimate, yaw), AveragedNetwork(network, 1.0)
    slope = float(plan.network.slope["k"])
    for step in range(0, UPDATES, AT_ONCE):
        method.update(step / UPDATES, slope, average)
    return networks.weights(network)


def fine_tune(data: bytes, craft: Airframe, estimate: PlantEstimate, yaw: float, seed: int, name: str) -> TunedPolicy:
    """A child of the policy in the checkpoint `data`, tuned for the estimate and rehearsed on its plant.

    yaw: of the set-point (rad), as the force is steady in the world and the policy sees the set-point's frame. Raises
    UsageError where it cannot be tuned, is no better than its parent, or fails the rehearsal.
    """
    parent = checkpoint.loads(data)
    weights = _tuned(parent, craft, estimate, yaw, seed)
    return child_of(parent, data, craft, estimate, yaw, seed, name, weights)


def learn_from_flight(
    data: bytes, craft: Airframe, rows: Rows, estimate: PlantEstimate, yaw: float, seed: int, name: str
) -> TunedPolicy:
    """The same of a child that learned from the transitions of the flight; the estimate's plant is that of its rehearsal."""
    parent = checkpoint.loads(data)
    require_tunable(parent, craft)
    weights = flown_transitions.learn(rows, parent, craft, seed)
    return child_of(parent, data, craft, estimate, yaw, seed, name, weights, transitions=len(rows.flags))


def warm_up(data: bytes, craft: Airframe) -> None:
    """Tune once in vain, for the vehicle as it is: the first tuning of a process takes 3 s more, to load what it needs."""
    known = unchanged(craft)
    known = known._replace(covariance=1e-6 * known.covariance)
    with suppress(UsageError):
        fine_tune(data, craft, known, 0.0, 0, "in vain")


def child_of(
    parent: Checkpoint,
    data: bytes,
    craft: Airframe,
    estimate: PlantEstimate,
    yaw: float,
    seed: int,
    name: str,
    weights: dict[str, np.ndarray],
    transitions: int = 0,
) -> TunedPolicy:
    """The checkpoint of tuned weights, after the rehearsal; see `fine_tune`. transitions: of the flight that it learned."""
    about = parent.manifest
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise UsageError(f"{name}: found NaN or infinity among its weights")
    assert about.contract.neuron is not None
    plant = changed_plant(craft, estimate, yaw)
    neuron, rate = about.contract.neuron, about.contract.rate_hz
    weights = _centred(weights, _last_second(SpikingPolicy(weights, neuron), craft, rate, plant))
    flown = _last_second(SpikingPolicy(weights, neuron), craft, rate, plant)
    if why := rehearsal.refusal(flown[-1]):
        raise UsageError(f"{name}: {why}")
    by_parent = _last_second(parent.policy, craft, rate, plant)
    before, after = (float(np.linalg.norm(places, axis=2).mean()) for places in (by_parent, flown))
    if not after <= before + (LEARNED if transitions else FARTHER):
        raise UsageError(f"{name}: {after:.2f} m from the set-point in simulation, its parent {before:.2f} m")
    low_high = {key: [round(limit, 4) for limit in estimate.interval(key)] for key in NAMES}
    parent_sum = hashlib.sha256(data).hexdigest()
    adaptation = {
        "parent": parent_sum,
        "ancestor": about.ancestor or parent_sum,
        "estimate": {key: round(float(value), 4) for key, value in zip(NAMES, estimate.mean, strict=True)},
        "intervals": low_high,
        "identified": list(estimate.identified),
        "seconds": round(estimate.seconds, 2),
        "yaw": round(yaw, 4),
    } | ({"transitions": transitions} if transitions else {})
    child = checkpoint.dumps(
        weights, about.contract, recipe=about.recipe, seed=seed, commit=about.commit, command="tuned in flight",
        adaptation=adaptation, learns_plant=about.learns_plant, name=name,
    )  # fmt: skip
    return TunedPolicy(name, child, before, after)


def _centred(weights: dict[str, np.ndarray], flown: np.ndarray) -> dict[str, np.ndarray]:
    """The weights of a policy that takes the place where it came to rest for its set-point. flown: as of `_last_second`.

    The first layer is linear in the position, so that its bias moves the origin.
    """
    aside = flown.mean((0, 1)).clip(-MOST_ASIDE, MOST_ASIDE)
    first = weights["layer0.weight"]
    return weights | {"layer0.bias": (weights["layer0.bias"] + first[:, :3] @ aside).astype(first.dtype)}


def _last_second(policy: Any, craft: Airframe, rate_hz: float, plant: PlantChange) -> np.ndarray:
    """Places (steps, vehicles, 3) beside the set-point, in m, in the last second of a rehearsal."""
    seen = list(rehearsal.fly_rehearsal(policy, craft, rate_hz, plant))
    return np.array([step[:, :3] for step in seen[-round(rate_hz) :]])


def _plan(layout: str) -> Recipe:
    """The recipe of tuning: that of the layout, narrower and shorter."""
    found = recipes.find(RECIPES[layout])
    return replace(
        found,
        task=replace(found.task, randomisation=SPREAD[layout]),
        schedule=replace(found.schedule, learning_rate=LEARNING_RATE, learning_rate_end=LEARNING_RATE_END),
        bptt=replace(found.bptt, updates=AT_ONCE, vehicles=VEHICLES, pool=2 * VEHICLES, segment=SEGMENT),
    )
