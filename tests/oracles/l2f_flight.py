"""A second of flight by the simulator of learning-to-fly, from 64 random states, kept in `l2f.npz`.

l2f compiles for some minutes; so the tests of the dynamics compare with what it once did, and this writes it anew:

    make .venv/done/l2f && .venv/bin/python tests/oracles/l2f_flight.py

States are (vehicles, 17): position, quaternion x y z w, velocity, body rates, rotor speeds; SI, ENU/FLU.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("l2f.npz")
VEHICLES, STEPS, HOLD = 64, 100, 10  # actions change every HOLD steps


def load() -> dict:
    """version, parameters (as l2f prints them), start, actions (STEPS, VEHICLES, 4), first and last state."""
    with np.load(FILE) as kept:
        found = dict(kept)
    found["actions"] = np.repeat(found["held"], HOLD, axis=0)
    return found | {"version": str(found["version"]), "parameters": json.loads(str(found["parameters"]))}


def record(seed: int = 7) -> dict[str, np.ndarray]:
    """What `load` finds, flown now. Raises ImportError without l2f."""
    rng = np.random.default_rng(seed)
    start, held = random_states(VEHICLES, rng), rng.uniform(-1, 1, (STEPS // HOLD, VEHICLES, 4)).astype(np.float32)
    simulator, tracks = L2F(start), []
    for action in np.repeat(held, HOLD, axis=0):
        simulator.step(action)
        tracks.append(simulator.numbers())
    told = {"version": version("l2f"), "parameters": json.dumps(simulator.parameters_dict())}
    return told | {"start": start, "held": held, "first": tracks[0], "last": tracks[-1]}


def random_states(vehicles: int, rng: np.random.Generator) -> np.ndarray:
    """Within .5 m, any attitude, up to 1 m/s, 5 rad/s and any rotor speeds."""
    attitude = rng.standard_normal((vehicles, 4))
    attitude /= np.linalg.norm(attitude, axis=1, keepdims=True)
    position, velocity, rates = (rng.uniform(-bound, bound, (vehicles, 3)) for bound in (0.5, 1, 5))
    rotors = rng.uniform(0, 1, (vehicles, 4))
    return np.concatenate([position, attitude, velocity, rates, rotors], axis=1).astype(np.float32)


class L2F:
    """Its vehicles, each stepped by itself."""

    def __init__(self, states: np.ndarray):
        import l2f

        self.l2f = l2f
        self.device, self.environment, self.parameters = l2f.Device(), l2f.Environment(), l2f.Parameters()
        self.rng = l2f.Rng()
        l2f.initialize_rng(self.device, self.rng, 0)
        l2f.initialize_environment(self.device, self.environment)
        l2f.initial_parameters(self.device, self.environment, self.parameters)
        self.states = [self._state(state) for state in states]

    def _state(self, numbers):
        state = self.l2f.State()
        self.l2f.initial_state(self.device, self.environment, self.parameters, state)
        state.position, state.linear_velocity, state.angular_velocity = numbers[0:3], numbers[7:10], numbers[10:13]
        state.orientation = numbers[[6, 3, 4, 5]]  # w, x, y, z
        state.rpm = numbers[13:17]
        return state

    def step(self, actions: np.ndarray) -> None:
        for state, action in zip(self.states, actions, strict=True):
            before = self.l2f.State()
            before.assign(state)
            self.l2f.step(self.device, self.environment, self.parameters, before, action, state, self.rng)

    def numbers(self) -> np.ndarray:
        def of(s):
            return *s.position, *s.orientation[[1, 2, 3, 0]], *s.linear_velocity, *s.angular_velocity, *s.rpm

        return np.array([of(state) for state in self.states])

    def parameters_dict(self) -> dict:
        return json.loads(self.l2f.parameters_to_json(self.device, self.environment, self.parameters))["dynamics"]


if __name__ == "__main__":
    np.savez_compressed(FILE, **record())
    print(FILE)
