"""A second of flight by l2f of quadrotors that `airframe_sampler` draws, kept in `l2f_quads.npz`; and a stand-in for l2f.

l2f compiles for some minutes; so the tests compare with what it once did, and this writes it anew:

    make .venv/done/l2f && .venv/bin/python tests/oracles/l2f_quads.py

The stand-in has the functions of l2f that `L2fEnvironment` calls, after the equations of its header 60_dynamics.h.
"""

import json
from pathlib import Path

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.sim.environment import Task
from spike_ctrl_benchmark.any_airframe import ANY
from spike_ctrl_benchmark.l2f_airframes import without_air

FILE = Path(__file__).with_name("l2f_quads.npz")
VEHICLES, STEPS, HOLD, SEED = 16, 60, 10, 3  # actions change every HOLD steps
CARRIER = airframe.load("any_quad")
TASK = Task(box=1e3, episode_steps=STEPS + 1, airframes=without_air(ANY["motors"]))


def fly(simulator) -> dict[str, np.ndarray]:
    """start and last observation (N, 18) and rotor speeds (N, 4), of an environment class."""
    environment = simulator(CARRIER, VEHICLES, TASK)
    start, _ = environment.reset(seed=SEED)
    held = np.random.default_rng(SEED).uniform(-0.4, 0.8, (STEPS // HOLD, VEHICLES, 4)).astype(np.float32)
    for action in np.repeat(held, HOLD, axis=0):
        last, *_ = environment.step(action)
    return {"start": start, "last": last, "rotors": environment.rotor_speed}


def load() -> dict[str, np.ndarray]:
    """What `fly` found in l2f."""
    with np.load(FILE) as kept:
        return dict(kept)


class _Named:
    def __init__(self, *arguments):
        self.state = np.zeros(17)  # position, orientation w x y z, velocity, rates, rotors
        self.state[3] = 1.0

    def assign(self, other):
        self.state = other.state.copy()


def _part(low, high):
    return property(lambda self: self.state[low:high], lambda self, value: self.state.__setitem__(slice(low, high), value))


class StandIn:
    """In the place of the module l2f."""

    Device = Environment = Parameters = Rng = State = type(
        "State",
        (_Named,),
        {
            "position": _part(0, 3), "orientation": _part(3, 7), "linear_velocity": _part(7, 10),
            "angular_velocity": _part(10, 13), "rpm": _part(13, 17),
        },
    )  # fmt: skip

    @staticmethod
    def _nothing(*arguments):
        pass

    initialize_rng = initialize_environment = initial_parameters = initial_state = _nothing

    @staticmethod
    def parameters_to_json(device, environment, parameters):
        return json.dumps({"dynamics": {}, "integration": {"dt": 0.01}})

    @staticmethod
    def parameters_from_json(device, environment, text, parameters):
        parameters.told = json.loads(text)["dynamics"]

    @staticmethod
    def step(device, environment, parameters, before, action, state, random):
        told, dt = parameters.told, 0.01
        low, high = told["action_limit"]["min"], told["action_limit"]["max"]
        command = low + (np.clip(action, -1, 1) + 1) / 2 * (high - low)
        s = before.state
        a = _slope(s, command, told)
        b = _slope(s + dt / 2 * a, command, told)
        c = _slope(s + dt / 2 * b, command, told)
        d = _slope(s + dt * c, command, told)
        s = s + dt / 6 * (a + 2 * b + 2 * c + d)
        s[3:7] /= np.linalg.norm(s[3:7])
        s[13:17] = s[13:17].clip(low, high)
        state.state = s


def _slope(s, command, told):
    w, x, y, z = s[3:7]
    rates, rotors, inertia = s[10:13], s[13:17], np.array(told["J"])
    powers = np.stack([np.ones(4), rotors, rotors**2], axis=1)
    thrust = (np.array(told["rotor_thrust_coefficients"]) * powers).sum(1)[:, None] * told["rotor_thrust_directions"]
    size = np.linalg.norm(thrust, axis=1) * np.sign(thrust[:, 2])
    torque = np.cross(told["rotor_positions"], thrust).sum(0)
    torque += (np.array(told["rotor_torque_directions"]) * (size * told["rotor_torque_constants"])[:, None]).sum(0)
    up = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
    p, q, r = rates
    turned = 0.5 * np.array([-x * p - y * q - z * r, w * p + y * r - z * q, w * q + z * p - x * r, w * r + x * q - y * p])
    faster = command >= rotors
    lag = np.where(faster, told["rotor_time_constants_rising"], told["rotor_time_constants_falling"])
    force = up * thrust.sum(0)[2] / told["mass"] + told["gravity"]
    angular = np.array(told["J_inv"]) @ (torque - np.cross(rates, inertia @ rates))
    return np.concatenate([s[7:10], turned, force, angular, (command - rotors) / lag])


if __name__ == "__main__":
    from spike_ctrl_benchmark.l2f_environment import L2fEnvironment

    np.savez_compressed(FILE, **fly(L2fEnvironment))
    print(FILE)
