"""A film of a model that flies a figure-eight in which a rotor fails, and what its neurons and its yaw rate do then."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.trajectory import PREVIEW, Trajectory
from spike_ctrl.evaluation import tracking
from spike_ctrl.policy import checkpoint
from spike_ctrl.report.colours import COLOURS, LEVEL_COLOUR, PAPER_COLOUR
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss
from spike_ctrl_view import film_canvas

SEED, EVERY, SECONDS = 7, 5, 10.0  # seed; steps of 10 ms between two frames; s of flight
LENGTH = EVERY / RATE_HZ, 2.0  # s of each frame, and of the last one
LEAD, FAILS_AT, OVER = 1.0, 4.0, 0.4  # s: of the figure-eight, of the failure, longest time in which the thrust falls
WIDTH, HEIGHT, SIDE, ARM, MARGIN, TRAIL = 820, 430, 0.36, 0.16, 0.4, 40  # pixels; share; m; m; frames
SMOOTH = 10  # steps over which spikes are averaged
DISCS = (3, 1, 0, 2)  # rotors of a square X in the order of `film_canvas.rotors`: front left, back right, the others


class LossFlight(NamedTuple):
    """T steps of one flight: position, set_point (T, 3) m, attitude (T, 3, 3), yaw_rate (T,) rad/s, spikes (T, layers).

    rotor: which one fails. spikes: share of each layer's neurons that spike in a step.
    """

    position: np.ndarray
    set_point: np.ndarray
    attitude: np.ndarray
    yaw_rate: np.ndarray
    spikes: np.ndarray
    rotor: int


def fly_loss(path: Path, share: float) -> LossFlight:
    """Fly a figure-eight of +-1 m in 5.5 s, in which one rotor loses a share of its thrust. Raises UsageError."""
    loaded = checkpoint.load(path)
    craft = loaded.airframe()
    if craft.action_layout != "motors":
        raise UsageError(f"--rotor-loss: found {path}, which commands {craft.action_layout}, wanted a model for motors")
    loss = RotorLoss(chance=1.0, least=share, most=share, earliest=FAILS_AT, latest=FAILS_AT, over=OVER)
    course, steps = Trajectory("figure8", lead=LEAD), int(SECONDS * RATE_HZ)
    environment, seen = tracking.hovering(craft, 1, steps, Randomisation(noise=1.0, rotor_loss=loss), seed=SEED)
    policy = loaded.policy
    state, flown, centre = policy.initial_state(1), [], np.array(course.centre)
    for step in range(steps):
        action, state = policy.step(seen, state)
        point = course.at((step + 1) / RATE_HZ)
        target = np.array([point.position]) - centre
        dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), target)
        seen, *_ = environment.step(action)
        seen[:, 12:15] -= np.array(course.at((step + 1) / RATE_HZ + PREVIEW).velocity, np.float32)
        true = environment.true_observation[0]
        flown.append((true[:3] + target[0], target[0], true[3:12].reshape(3, 3), true[17], policy.spike_rates(state)))
    position, set_point, attitude, yaw_rate, spikes = (np.array(part, float) for part in zip(*flown, strict=True))
    rotor = int(environment.read(slice(dynamics.LOST, dynamics.STUCK))[0].argmax())
    return LossFlight(position, set_point, attitude, yaw_rate, spikes, rotor)


def film(path: Path, share: float) -> Iterator[np.ndarray]:
    """The frames of the film. Raises as `fly` does."""
    return frames(fly_loss(path, share), share)


def frames(flown: LossFlight, share: float, every: int = EVERY) -> Iterator[np.ndarray]:
    """Pictures (HEIGHT, WIDTH, 3): each `every` steps; the vehicle, and beside it spikes and yaw rate up to then."""
    from matplotlib.collections import LineCollection, PolyCollection

    sheet = film_canvas.sheet(WIDTH, HEIGHT)
    axes, _ = film_canvas.stage(sheet, 0.98 - SIDE, flown.position, flown.set_point, MARGIN)
    target = axes.plot([], [], "+", color=COLOURS[2], markersize=13, markeredgewidth=2.2, zorder=3)[0]
    trail = axes.add_collection(LineCollection([], linewidths=2.0, color=COLOURS[0], alpha=0.5, zorder=4))
    discs = axes.add_collection(PolyCollection([], zorder=5))
    beams = axes.add_collection(LineCollection([], linewidths=2.6, color=COLOURS[0], zorder=6))
    words = sheet.text(0.02, 0.96, "", fontsize=11, va="top", color=PAPER_COLOUR)
    time, lines = np.arange(len(flown.position)) / RATE_HZ, []
    kernel = np.ones(SMOOTH) / SMOOTH
    smooth = [np.convolve(layer, kernel, "same") for layer in flown.spikes.T]
    curves = (("share of neurons that spike", smooth), ("yaw rate, rad/s", [flown.yaw_rate]))
    for number, (title, series) in enumerate(curves):
        side = sheet.add_axes((1.05 - SIDE, 0.58 - 0.48 * number, SIDE - 0.08, 0.34), xlim=(0, SECONDS))
        side.set_title(title, fontsize=9.5, color=LEVEL_COLOUR)
        side.tick_params(labelsize=8)
        side.axvline(FAILS_AT, color=COLOURS[4], linewidth=1.0)
        if series:
            side.set_ylim(min(0.0, 1.1 * np.min(series)), max(1.1 * np.max(series), 0.1))
        if len(series) > 1:
            for layer in range(len(series)):
                side.plot([], [], color=COLOURS[layer], linewidth=1.3, label=f"layer {layer + 1}")
            side.legend(fontsize=7.5, loc="lower right", frameon=False, ncols=2)
        lines += [(side.plot([], [], color=COLOURS[i], linewidth=1.3)[0], values) for i, values in enumerate(series)]
    way = film_canvas.seen(flown.position)
    pieces = np.stack([way[:-1], way[1:]], axis=1)
    for step in range(0, len(time), every):
        trail.set_segments(pieces[max(0, step - TRAIL * EVERY) : step])
        position, attitude, failed = flown.position[step], flown.attitude[step], time[step] >= FAILS_AT
        beams.set_segments(film_canvas.arms(position[None], attitude[None], ARM))
        discs.set_verts(film_canvas.rotors(position, attitude, ARM))
        dead = np.arange(4) == (DISCS.index(flown.rotor) if failed else -1)
        discs.set_facecolor([COLOURS[4] if one else "#a8c0e0" for one in dead])
        target.set_data(*film_canvas.seen(flown.set_point[step])[:, None])
        off = 100 * np.linalg.norm(position - flown.set_point[step])
        said = f"a rotor has lost {100 * share:.0f} % of its thrust" if failed else "all rotors whole"
        words.set_text(f"{time[step]:.1f} s   {said}\n{off:.0f} cm from the set-point")
        for line, values in lines:
            line.set_data(time[:step], values[:step])
        yield film_canvas.pixels(sheet)
