"""A small LSTM that predicts recorded flight: what data alone tells of it, to compare an airframe with.

It sees half a second of history, then commands and voltage only, and answers how velocity, attitude and rates have changed
since the start, in the body at the start. Position follows from velocity. It learns from flights that it is not judged on.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from spike_ctrl.learn.actor import descend_
from spike_ctrl.learn.adam import Adam
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify import Show
from spike_ctrl_identify.fidelity import HORIZONS, Errors
from spike_ctrl_identify.observed_flight import HISTORY, ObservedFlight
from spike_ctrl_identify.open_loop import Starts, difference, norms, starts

SEEN, SIZE, BATCH = 50, 64, 128  # steps of history, hidden units, windows
AHEAD = HORIZONS[-1]
FOLDS = 3
NAME = "LSTM"


class FlightLstm(nn.Module):
    """Windows (B, SEEN + AHEAD, 15) to changes (B, AHEAD, 9): velocity, rotation vector, rates, each in its own unit."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(15, SIZE, batch_first=True)
        self.readout = nn.Linear(SIZE, 9)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """The changes at each step after the history."""
        answered: torch.Tensor = self.readout(self.memory(window)[0][:, SEEN:])
        return answered


def judge_lstm(flights: Sequence[ObservedFlight], steps: int, seed: int, show: Show) -> Errors:
    """Its errors: the flights in FOLDS parts, each judged by a network that learnt from the others for `steps` updates."""
    parts = np.arange(len(flights)) % min(FOLDS, len(flights))
    values: list[np.ndarray | None] = [None] * len(flights)
    for part in np.unique(parts):
        learnt = starts([flight for flight, p in zip(flights, parts, strict=True) if p != part], 5, AHEAD)

        def told(line: str, share: float, part: int = part, count: int = parts.max() + 1) -> None:
            show(f"LSTM {part + 1} of {count}: {line}", (part + share) / count)

        predict = _train(learnt, steps, seed, told)
        for number in np.flatnonzero(parts == part):
            at = starts([flights[number]], 5, AHEAD)
            seen = at.state[[HISTORY + h for h in HORIZONS]]
            values[number] = norms(difference(predict(at), seen)).mean(1)
    return Errors(NAME, np.array(values))


def _train(at: Starts, steps: int, seed: int, show: Show) -> Callable[[Starts], np.ndarray]:
    """Train a network; gives a function from starts to states (H, W, 13)."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    inputs, wanted = _inputs(at), _wanted(at)
    middle, spread = inputs.mean((0, 1)), inputs.std((0, 1)) + 1e-6
    unit = wanted.std((0, 1)) + 1e-6
    x = torch.from_numpy(((inputs - middle) / spread).astype(np.float32))
    x[:, SEEN:, :9] = 0  # the future of the state is not seen
    y = torch.from_numpy((wanted / unit).astype(np.float32))
    network = FlightLstm()
    optimiser = Adam(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        batch = torch.from_numpy(random.integers(len(x), size=BATCH))
        loss = (network(x[batch]) - y[batch]).abs().mean()
        descend_(optimiser, loss, network)
        schedule.step()
        if (step + 1) % 100 == 0:
            show(f"step {step + 1} of {steps}, error {loss.item():.3f}", (step + 1) / steps)

    def predict(other: Starts) -> np.ndarray:
        seen = ((_inputs(other) - middle) / spread).astype(np.float32)
        seen[:, SEEN:, :9] = 0
        with torch.no_grad():
            changes = network(torch.from_numpy(seen)).numpy().astype(float) * unit
        return _states(other, changes)

    return predict


def _inputs(at: Starts) -> np.ndarray:
    """Velocity and up in the body, rates, commands, voltage and steps since the start: (W, SEEN + AHEAD, 15)."""
    rows = slice(HISTORY - SEEN + 1, HISTORY + AHEAD + 1)
    state = at.state[rows]
    turned = Rotation.from_quat(state[..., 3:7].reshape(-1, 4)).inv()
    velocity = turned.apply(state[..., 7:10].reshape(-1, 3)).reshape(*state.shape[:2], 3)
    up = turned.apply([0, 0, 1]).reshape(*state.shape[:2], 3)
    command = at.command[rows.start - 1 : rows.stop - 1]  # the command that led to each state
    voltage = np.nan_to_num(at.voltage[rows.start - 1 : rows.stop - 1, :, None])
    time = np.maximum(np.arange(len(state)) - SEEN, 0)[:, None, None] + np.zeros((1, state.shape[1], 1))
    return np.concatenate([velocity, up, state[..., 10:13], command, voltage, time], axis=2).swapaxes(0, 1)


def _wanted(at: Starts) -> np.ndarray:
    """Changes (W, AHEAD, 9) since the start, in the body at the start: velocity, rotation vector, rates."""
    first, later = at.state[HISTORY], at.state[HISTORY + 1 :]
    back = Rotation.from_quat(first[:, 3:7]).inv()
    changes = [
        np.hstack(
            [
                back.apply(state[:, 7:10] - first[:, 7:10]),
                (back * Rotation.from_quat(state[:, 3:7])).as_rotvec(),
                state[:, 10:13] - first[:, 10:13],
            ]
        )
        for state in later
    ]
    return np.array(changes).swapaxes(0, 1)


def _states(at: Starts, changes: np.ndarray) -> np.ndarray:
    """States (H, W, 13) after the changes (W, AHEAD, 9)."""
    first = at.state[HISTORY].astype(float)
    turned = Rotation.from_quat(first[:, 3:7])
    found = []
    moved = np.array([turned.apply(changes[:, step, :3]) for step in range(AHEAD)])
    way = (np.cumsum(moved, axis=0) - moved / 2) / RATE_HZ
    for steps in HORIZONS:
        state = first.copy()
        state[:, :3] += first[:, 7:10] * steps / RATE_HZ + way[steps - 1]
        state[:, 3:7] = (turned * Rotation.from_rotvec(changes[:, steps - 1, 3:6])).as_quat()
        state[:, 7:10] += moved[steps - 1]
        state[:, 10:13] += changes[:, steps - 1, 6:9]
        found.append(state)
    return np.array(found, np.float32)
