"""A film of a training: the policies of one run, early to late, each alone with the same vehicles thrown into the air.

A vehicle starts tilted, turning and moving. One that leaves the box is lost: a cross marks the place.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.policy import checkpoint
from spike_ctrl.report.colours import COLOURS, GRID_COLOUR, LEVEL_COLOUR, PAPER_COLOUR
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl_view import film_canvas

SEED, BOX, SECONDS, EVERY = 7, 1.5, 3.0, 4  # seed of the starts; m; s; steps of 10 ms between two frames
LENGTH = EVERY / RATE_HZ, 2.0  # s of each frame, and of the last one
PANEL, HEAD = 205, 66  # pixels; pixels above
TOLD = (0.2, 0.7)  # vehicles that a stage in the middle keeps in the air, as a share of those that the best policy keeps
ARM = 0.13  # m, drawn length


class TrainingStage(NamedTuple):
    """A policy of a training. title: when it was, in a few words."""

    path: Path
    title: str


class ThrownVehicles(NamedTuple):
    """N vehicles over T frames: position (T, N, 3) m, attitude (T, N, 3, 3), lost_at (N,): frame, T if it is not lost."""

    position: np.ndarray
    attitude: np.ndarray
    lost_at: np.ndarray


def stages(path: Path) -> list[TrainingStage]:
    """The policies of a run's folder, early to late and the best one last, or the model at this path. CheckpointError."""
    if not path.is_dir():
        return [TrainingStage(path, path.stem)]
    kept = sorted((path / "stages").glob("*.safetensors"))
    found = [TrainingStage(stage, _when(stage)) for stage in kept]
    return [*found, TrainingStage(path / "policy.safetensors", "fully trained" if kept else path.name)]


def telling(flights: Sequence[ThrownVehicles]) -> list[int]:
    """Which flights tell how it was learned: the first, the last, and between them those nearest to the shares TOLD."""
    saved = [float((flown.lost_at == len(flown.position)).mean()) for flown in flights]
    between = range(1, len(saved) - 1)
    nearest = {min(between, key=lambda i: abs(saved[i] - share * saved[-1])) for share in TOLD} if between else set()
    return sorted({0, *nearest, len(saved) - 1})


def _when(path: Path) -> str:
    share = checkpoint.load(path).manifest.evaluation.get("stage", {}).get("share", 0.0)
    return f"{100 * share:.0f} % trained" if share else "untrained"


def fly_stage(stage: TrainingStage, vehicles: int) -> ThrownVehicles:
    """Throw so many vehicles into the air, the same for each stage. Raises UsageError."""
    loaded = checkpoint.load(stage.path)
    craft = loaded.airframe()
    environment = Environment(craft, vehicles, Task(box=BOX, episode_steps=10 * int(SECONDS * RATE_HZ)))
    observation, _ = environment.reset(seed=SEED)
    controller = PolicyController(loaded.policy)
    controller.begin(vehicles)
    frames = int(SECONDS * RATE_HZ) // EVERY
    position, attitude = np.empty((frames, vehicles, 3)), np.empty((frames, vehicles, 3, 3))
    lost_at, true = np.full(vehicles, frames), environment.true_observation
    for frame in range(frames):
        flying = lost_at >= frame
        position[frame] = np.where(flying[:, None], true[:, :3], position[frame - 1])
        attitude[frame] = np.where(flying[:, None, None], true[:, 3:12].reshape(-1, 3, 3), attitude[frame - 1])
        for _ in range(EVERY):
            observation, _, terminated, _, _ = environment.step(controller.act(observation, environment))
            lost_at[terminated & (lost_at > frame)] = frame
        true = environment.true_observation
    return ThrownVehicles(position, attitude, lost_at)


def film(path: Path, vehicles: int) -> Iterator[np.ndarray]:
    """The frames of the film of a run or a model. Raises as `fly` does."""
    shown = stages(path)
    flights = [fly_stage(stage, vehicles) for stage in shown]
    chosen = telling(flights)
    return frames([shown[i] for i in chosen], [flights[i] for i in chosen])


def frames(shown: Sequence[TrainingStage], flights: Sequence[ThrownVehicles]) -> Iterator[np.ndarray]:
    """Pictures (height, width, 3): one panel per stage, each with what its vehicles do at that time."""
    from matplotlib.collections import LineCollection

    panel = PANEL if len(shown) > 1 else 2 * PANEL
    sheet = film_canvas.sheet(panel * len(shown), panel + HEAD)
    low, high = np.full(3, -BOX), np.full(3, BOX)
    corners = film_canvas.box(low, high).reshape(-1, 2)
    vehicles, crosses, counts = [], [], []
    for number, stage in enumerate(shown):
        axes = sheet.add_axes((number / len(shown), 0, 1 / len(shown), panel / (panel + HEAD)))
        axes.set_axis_off()
        axes.set(xlim=1.04 * np.array([corners[:, 0].min(), corners[:, 0].max()]), aspect="equal")
        axes.set(ylim=1.04 * np.array([corners[:, 1].min(), corners[:, 1].max()]))
        axes.add_collection(LineCollection(film_canvas.floor(low, high), colors=GRID_COLOUR, linewidths=0.6))
        axes.add_collection(LineCollection(film_canvas.box(low, high), colors="#b8bec8", linewidths=0.8))
        axes.plot(*film_canvas.seen(np.zeros(3)), "+", color=COLOURS[2], markersize=11, markeredgewidth=2, zorder=5)
        vehicles.append(axes.add_collection(LineCollection([], colors=COLOURS[0], linewidths=1.1, zorder=4)))
        crosses.append(axes.plot([], [], "x", color=COLOURS[4], markersize=4, markeredgewidth=1.1, zorder=3)[0])
        text = {"ha": "center", "va": "top", "color": PAPER_COLOUR}
        middle, height = (number + 0.5) / len(shown), panel + HEAD
        sheet.text(middle, 1 - 10 / height, stage.title, fontsize=10.5, weight="bold", **text)
        counts.append(sheet.text(middle, 1 - 34 / height, "", fontsize=10, **text))
    for frame in range(len(flights[0].position)):
        for flown, beams, marks, words in zip(flights, vehicles, crosses, counts, strict=True):
            flying = flown.lost_at > frame
            beams.set_segments(film_canvas.arms(flown.position[frame][flying], flown.attitude[frame][flying], ARM))
            marks.set_data(*film_canvas.seen(flown.position[frame][~flying]).T)
            words.set_text(f"{flying.sum()} of {len(flying)} in the air")
            words.set_color(LEVEL_COLOUR if flying.all() else COLOURS[4])
        yield film_canvas.pixels(sheet)
