"""A small program of a user who checks types: mypy --strict must find no fault in it, and know the types it asks for."""

import numpy as np
from numpy.typing import NDArray

import spike_ctrl


class Proportional:
    """A policy of the user's own: anything with the face of `spike_ctrl.Policy`."""

    inputs, outputs = 18, 4

    def initial_state(self, batch: int | None = None) -> None:
        return None

    def step(self, observation: NDArray[np.float32], state: None) -> tuple[NDArray[np.float32], None]:
        return np.full((*observation.shape[:-1], 4), 0.3, np.float32), None

    def reset_rows(self, state: None, mask: NDArray[np.bool_]) -> None:
        return None

    def spike_rates(self, state: None) -> tuple[float, ...]:
        return ()


def fly(policy: spike_ctrl.Policy, environment: spike_ctrl.Environment) -> float:
    """The mean reward of a second."""
    observation, _ = environment.reset(seed=1)
    state, total = policy.initial_state(environment.num_envs), 0.0
    for _ in range(100):
        action, state = policy.step(observation, state)
        observation, reward, terminated, truncated, _ = environment.step(action)
        state = policy.reset_rows(state, terminated | truncated)
        total += float(reward.mean())
    return total / 100


def breeze(step: spike_ctrl.StepView) -> NDArray[np.float32]:
    """A hundredth of a newton to the east."""
    return step.force + np.array([0.01, 0, 0], np.float32)


def main() -> None:
    craft: spike_ctrl.Airframe = spike_ctrl.Airframe.load("crazyflie")
    environment: spike_ctrl.Environment = spike_ctrl.make_env(craft, vehicles=4, reward={"position": 2.0})
    reward: float = spike_ctrl.make_env("crazyflie").step(np.zeros(4, np.float32))[1]
    mass: float = craft.mass
    environment.insert("wind", breeze)
    print(fly(spike_ctrl.load_policy("crazyflie"), environment), fly(Proportional(), environment), reward, mass)
    evaluation: spike_ctrl.Evaluation = spike_ctrl.evaluate(spike_ctrl.GeometricGuide(craft), craft, starts=8)
    tracking: spike_ctrl.Tracking = spike_ctrl.track(
        "crazyflie", spike_ctrl.Trajectory("circle"), craft, inserts={"wind": breeze}
    )
    print(evaluation.headline, tracking.rmse, spike_ctrl.Trajectory("hover").at(1.0).position)


def wrong() -> None:
    """What mypy must refuse: an ignore that is not needed is a fault under --strict."""
    text: str = spike_ctrl.load_policy("crazyflie")  # type: ignore[assignment]
    spike_ctrl.make_env("crazyflie", vehicles="many")  # type: ignore[call-overload]
    spike_ctrl.train(recipe=3)  # type: ignore[arg-type]
    print(text, spike_ctrl.evaluate("crazyflie").headlin)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
