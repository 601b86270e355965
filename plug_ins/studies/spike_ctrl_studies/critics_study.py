"""Are the critics right? Their values and gradients are compared with the truth from the simulator.

The policy does not change while the critics learn. It flies on from states of held-out flights. The discounted return that
follows is what Q(s, pi(s)) should be. The difference between the returns after slightly different first actions is what the
gradient of Q should be.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.critics import AdvantageCritic
from spike_ctrl.learn.off_policy import OffPolicy
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import HISTORY
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.environment import Environment
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_studies import training_run
from spike_ctrl_studies.figures import Figure, Level, Panel
from spike_ctrl_studies.headline_study import mean_line
from spike_ctrl_studies.study import (
    AGREES,
    DIFFERS,
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    UnitContext,
    UnitResult,
    by_variant,
    of_kind,
    one,
    plus_minus,
    size_of,
    spread,
)

SEEDS = (1, 5)
RECIPE, MODEL = "td3bc", "crazyflie_td3bc.safetensors"
VEHICLES, PROBES = 256, 512
UPDATES, CHECKS = (300, 1500), (100, 300, 600, 1000, 1500)
FLOWN = (200_000, 500_000)  # environment steps to learn from
AGES = (0, 5, 15, 40, 80)  # steps of an episode at which states are probed
STEP = 0.2  # of the finite differences, as large as the exploration: spikes make the return rough on a smaller scale
FORGOTTEN = 0.02  # a return is summed until its discount is below this
VARIANTS = {
    "twin critics, 32 actions": {"critic": "twin", "history": HISTORY},
    "twin critics, no history": {"critic": "twin", "history": 0},
    "advantages, 32 actions": {"critic": "advantage", "history": HISTORY},
    "advantages, no history": {"critic": "advantage", "history": 0},
}


Learned = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Probe(NamedTuple):
    """N states at one age of the episode, with their true returns and gradients.

    age: steps. privileged (N, d): inputs of the critics. action (N, 4): the policy's. returns (N,): after these actions.
    gradient (N, 4): of the return by the action.
    """

    age: int
    privileged: np.ndarray
    action: np.ndarray
    returns: np.ndarray
    gradient: np.ndarray


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    plan = training_run.find_td3bc(options.recipe or RECIPE)
    size = not options.quick
    plans = {name: training_run.changed(plan, **changes) for name, changes in VARIANTS.items()}
    return training_run.units(plans, options, SEEDS, flown=FLOWN[size], updates=UPDATES[size])


def measure(settings: dict, context: UnitContext) -> UnitResult:
    """Let the critics learn. Lines of kind "check" say how right they are, after each number of updates and at each age."""
    plan, vehicle = recipes.from_dict(settings["recipe"]), airframe.load(settings["airframe"])
    weights = checkpoint.load(resources.find("models", MODEL)).weights
    policy = checkpoint.load(resources.find("models", MODEL)).policy
    generator = torch.Generator().manual_seed(settings["seed"])
    actor = SpikingNetwork(policy.sizes, generator=generator)
    actor.load_weights(weights)
    method = OffPolicy(plan, vehicle, VEHICLES, settings["seed"], actor, generator)
    context.progress(0.0, "flying")
    _fly(method, plan, vehicle, policy, settings["flown"], settings["seed"])
    context.progress(0.3, "probing")
    probes = probe(plan, vehicle, policy, method.algorithm.learned)
    lines, updates = [], settings["updates"]
    for done in range(1, updates + 1):
        method.algorithm.set_learning_rate(plan.schedule.learning_rate * max(0.05, 1 - done / updates))
        sample = method.buffer.sample(plan.replay.critic_batch, plan.replay.window, plan.td3bc.burn_in, method.sampler)
        method.algorithm.update_critics(method.algorithm.batch(sample), plan.network.slope.get("k", 2.0), generator)
        if done in CHECKS or done == updates:
            lines += [{"kind": "check", "updates": done} | check(method.algorithm.critic, found) for found in probes]
        context.progress(0.4 + 0.6 * done / updates, f"update {done}")
    result = {"kind": "result", "variant": settings["variant"], "seed": settings["seed"], "updates": updates}
    return UnitResult([*lines, result])


def _fly(method: OffPolicy, plan: Recipe, vehicle, policy, steps: int, seed: int) -> None:
    """Fill the buffer with flights of the policy with exploration noise."""
    rollout = Rollout(training_environment(plan, vehicle, VEHICLES), seed, plan.jump_start)
    state = policy.initial_state(VEHICLES)
    for _ in range(min(steps, plan.replay.capacity) // VEHICLES):
        seen = rollout.see()
        if (first := (seen.flags & FIRST) > 0).any():
            state = policy.reset_rows(state, first)
        action, state = policy.step(seen.observation, state)
        rows = rollout.fly(seen, action, action, 0.0, plan.jump_start.noise)
        method.receive(rows)


def probe(
    plan: Recipe, vehicle, policy, learned: Learned, states: int = PROBES, ages: tuple[int, ...] = AGES
) -> list[Probe]:
    """Held-out states with true returns and gradients. The policy flies on from each of them nine times.

    learned: what the critics learn of rewards and crashes, as `TD3BC.learned`.
    """
    task = dataclasses.replace(training_environment(plan, vehicle, 1).task, episode_steps=10**6)
    environment, rng = Environment(vehicle, states, task), np.random.default_rng(5)
    observation, _ = environment.reset(seed=99)
    state, history, kept = policy.initial_state(states), np.zeros((states, HISTORY, 4), np.float32), []
    for age in range(max(ages) + 1):
        if age in ages:
            rotors, unknown = environment.rotor_speed, environment.disturbance
            kept.append((age, environment.buffer.copy(), observation, state, history, rotors, unknown))
        action, state = policy.step(observation, state)
        explored = action + plan.jump_start.noise * rng.standard_normal(action.shape)
        action = np.clip(explored, -1, 1).astype(np.float32)
        observation, *_ = environment.step(action)
        history = np.concatenate([history[:, 1:], action[:, None]], axis=1)
    found, length = [], plan.td3bc.history
    for age, buffer, observation, state, history, rotors, unknown in kept:
        own, _ = policy.step(observation, state)

        def fly(first, buffer=buffer, observation=observation, state=state):
            environment.buffer[:] = buffer
            return _return(environment, plan, learned, policy, observation, state, first)

        gradient = np.empty((states, 4))
        for motor in range(4):
            step = STEP * np.eye(4, dtype=np.float32)[motor]
            up, down = np.clip(own + step, -1, 1), np.clip(own - step, -1, 1)
            gradient[:, motor] = (fly(up) - fly(down)) / (up - down)[:, motor]
        past = history[:, HISTORY - length :].reshape(states, -1)
        privileged = np.concatenate([observation, past, rotors, unknown], axis=1).astype(np.float32)
        found.append(Probe(age, privileged, own.astype(np.float32), fly(own), gradient))
    return found


def _return(
    environment: Environment, plan: Recipe, learned: Learned, policy, observation, state, first: np.ndarray
) -> np.ndarray:
    """Discounted return (N,), with the critics' reward, after the actions `first` and then the policy without noise."""
    gamma, total, alive = plan.td3bc.gamma, np.zeros(len(first)), np.ones(len(first))
    for step in range(math.ceil(math.log(FORGOTTEN) / math.log(gamma))):
        action, state = policy.step(observation, state)
        observation, reward, terminated, _, _ = environment.step(action if step else first)
        total += gamma**step * alive * learned(reward, terminated)
        alive *= ~terminated
    return total


def check(critic, found: Probe) -> dict[str, float]:
    """Compare a critic with the truth: correlation and error of its values, cosine of its gradients, share that is right."""
    privileged = torch.from_numpy(found.privileged)
    action = torch.from_numpy(found.action).requires_grad_(True)
    if isinstance(critic, AdvantageCritic):
        value = critic.value(privileged) + critic.gain(privileged, action)
    else:
        value = critic(privileged, action, members=1)[0]
    gradient = torch.autograd.grad(value.sum(), action)[0].numpy()
    sizes = np.linalg.norm(gradient, axis=1) * np.linalg.norm(found.gradient, axis=1)
    cosine = (gradient * found.gradient).sum(1) / np.maximum(sizes, 1e-12)
    value = value.detach().numpy()
    return {
        "age": found.age,
        "correlation": float(np.corrcoef(value, found.returns)[0, 1]),
        "error": float(np.sqrt(np.mean((value - found.returns) ** 2)) / found.returns.std()),
        "cosine": float(cosine.mean()),
        "right": float((cosine > 0).mean()),
    }


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    groups = by_variant(results, VARIANTS)
    seeds = len(next(iter(groups.values())))
    return Report(
        title=f"Are the critics right? {size_of(options, seeds)}",
        table=[_row(name, runs) for name, runs in groups.items()],
        findings=findings({name: spread(_last(runs, "cosine"))[0] for name, runs in groups.items()}),
        figures=[_curves(groups)],
        notes=[
            f"The policy is models/{MODEL} and does not change. The critics learn from its flights with the recipe's "
            f"exploration noise and are asked at {PROBES} held-out states of each of the ages {', '.join(map(str, AGES))} "
            "(steps of an episode).",
            "True values: discounted returns of the policy without noise. True gradients: differences of such returns after "
            f"first actions {2 * STEP} apart, one motor at a time. They are rough themselves, because spikes come and go: a "
            "cosine of 1 cannot be reached.",
            "error: root mean square error over the deviation of the true returns.",
        ],
    )


def findings(cosine: dict[str, float]) -> list[StudyFinding]:
    """What follows from the mean cosine of each variant after its last update."""
    return [
        StudyFinding(
            f"The gradient of {name} points the way that raises the return (taken as: a mean cosine above .05).",
            f"mean cosine {value:.2f}.",
            AGREES if value > 0.05 else DIFFERS,
            paper=name == next(iter(VARIANTS)),
        )
        for name, value in cosine.items()
    ]


def _last(runs: list[Lines], key: str) -> list[float]:
    """For each run, the mean of `key` over the ages after its last update."""
    last = [one(lines, "result")["updates"] for lines in runs]
    return [
        float(np.mean([line[key] for line in of_kind(lines, "check") if line["updates"] == updates]))
        for lines, updates in zip(runs, last, strict=True)
    ]


def _row(name: str, runs: list[Lines]) -> dict:
    row = {"critic": name, "updates": one(runs[0], "result")["updates"]}
    named = {"correlation of values": "correlation", "error of values": "error", "cosine of gradients": "cosine"}
    row |= {words: plus_minus(_last(runs, key), 2) for words, key in named.items()}
    return row | {"gradients that point right, %": plus_minus(_last(runs, "right"), 0, 100)}


def _curves(groups: dict[str, list[Lines]]) -> Figure:
    panels = []
    for key, title, label in (
        ("cosine", "Gradient by the action, against finite differences", "mean cosine"),
        ("correlation", "Value, against returns", "correlation"),
    ):
        marks = []
        for index, (name, runs) in enumerate(groups.items()):
            xs, ys = [], []
            for lines in runs:
                checks = of_kind(lines, "check")
                xs.append(sorted({line["updates"] for line in checks}))
                ys.append([float(np.mean([line[key] for line in checks if line["updates"] == x])) for x in xs[-1]])
            marks.append(mean_line(name, xs, ys, index, marks=True))
        if key == "cosine":
            marks.append(Level("no better than chance", 0.0))
        panels.append(Panel(title, "updates of the critic", label, marks))
    return Figure("critics", "What critics of one policy know", panels)
