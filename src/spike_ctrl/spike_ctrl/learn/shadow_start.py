"""How a flight begins in which another has held the vehicle in a hover, and the policy takes over from its shadow.

A policy that finds out in flight what it flies (`learns_plant`) is told the commands of others in shadow
(`policy.command_telling`). A vehicle in a hover answers nothing, so the policy knows little then, and what it remembers is
not what it remembers at the start of a flight of its own. It learns to take over only where training begins so, too.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy
from spike_ctrl.sim.airframe_sampler import FASTEST
from spike_ctrl.sim.dynamics import FORCE, INERTIA, LAG_UP, MASS, MOMENT, TARGET, THRUST, TORQUE

SHADOW = 80  # control steps that the policy has been in shadow
PLANT = slice(MASS, TARGET)  # the rows of `dynamics` that tell how a vehicle hovers
_ROWS = {
    "mass": (MASS, INERTIA), "curve": (THRUST, TORQUE), "torque": (TORQUE, LAG_UP), "force": (FORCE, MOMENT),
    "moment": (MOMENT, TARGET),
}  # fmt: skip


def held(plant: Floats, arms: Floats) -> Floats:
    """The states of vehicles at rest, however they are pushed, without the position (N, 14): rows 3 to 17 of `dynamics`.

    plant (N, TARGET - MASS): their rows PLANT. arms (12,): `dynamics.geometry`. The nose points along x. A rotor that cannot
    give its share of the thrust gives what is nearest.
    """
    row = {name: plant[:, first - MASS : last - MASS].astype(float) for name, (first, last) in _ROWS.items()}
    lift = (0.0, 0.0, GRAVITY) * row["mass"] - row["force"]
    thrust = np.linalg.norm(lift, axis=1, keepdims=True)
    up = lift / thrust
    side = np.cross(up, (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    attitude = Rotation.from_matrix(np.stack([np.cross(side, up), side, up], axis=2)).as_quat()
    x, y, spin = arms.reshape(3, 4).astype(float)
    shares = np.tile([np.ones(4), y, -x, spin], (len(plant), 1, 1))  # of the rotors' thrusts in thrust and torques
    shares[:, 3] *= row["torque"]
    each = np.linalg.solve(shares, np.hstack([thrust, -row["moment"]])[..., None])[..., 0]
    c0, c1, c2 = (row["curve"][:, i, None] for i in range(3))
    speed = 2 * (each - c0) / (c1 + np.sqrt(np.maximum(c1 * c1 + 4 * c2 * (each - c0), 1e-12)))
    return np.hstack([attitude, np.zeros((len(plant), 6)), speed.clip(0.0, FASTEST)]).astype(np.float32)


def after_shadow(policy: SpikingPolicy, observation: Floats, command: Floats) -> PolicyState:
    """The memory of a policy that begins with none, saw observation [T, in, B], and was told command [T, out, B], u in 0..1.

    Raises UsageError for a policy that cannot be told.
    """
    if policy.telling is None:
        raise UsageError(
            "network: recurrent: found false, wanted true: only a recurrent policy can be told the commands of others"
        )
    state = policy.initial_state(observation.shape[2])
    for seen, commanded in zip(observation, command, strict=True):
        own, state = policy.step(seen.T, state)
        state = policy.told(state, own, 2 * commanded.T - 1)
    return state
