"""Jump start (JSRL): the guide flies the beginning of each episode, the policy the rest; the guide's share shrinks.

The policy runs from the first step, so that its membranes are settled when it takes over.
"""

import math

import numpy as np

from spike_ctrl.learn.recipe_blocks import JumpStartSettings


class JumpStart:
    """Hand-over of N vehicles from the guide to the policy, and the noise with which the policy explores.

    With `spread`, each episode draws its own hand-over uniformly up to the horizon; without, all hand over exactly at it, as
    in the paper. The motors filter white noise away; noise that lasts as long as their lag (`noise_time`) moves the vehicle.
    `noise_spread`: each episode draws its own share of the noise, uniformly. Otherwise the policy is never seen to fly
    without: a spiking network in a steady hover repeats the same spikes, and does not answer small errors that noise would
    have made it answer.
    """

    def __init__(self, vehicles: int, seed: int, settings: JumpStartSettings):
        self.generator, self.spread = np.random.default_rng([seed, 1]), settings.spread
        # Correlation of the noise from one step to the next, at 100 Hz
        self.memory = np.float32(math.exp(-1 / (100 * settings.noise_time)) if settings.noise_time else 0.0)
        self.noise_spread = settings.noise_spread
        self.hand_over = np.zeros(vehicles)
        self.loudness = np.ones(vehicles, np.float32)
        self._noise = np.zeros((vehicles, 4), np.float32)  # of unit deviation

    def begin(self, first: np.ndarray, horizon: float) -> None:
        """Draw the hand-over step of every vehicle whose episode starts (mask `first`, (N,)). horizon: steps."""
        share = self.generator.random(len(first)) if self.spread else 1.0
        self.hand_over = np.where(first, share * horizon, self.hand_over)
        if self.noise_spread:
            self.loudness = np.where(first, self.generator.random(len(first), np.float32), self.loudness)

    def act(self, step: np.ndarray, policy: np.ndarray, guide: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
        """Actions (N, 4) in [-1, 1] that fly, and the mask (N,) of vehicles flown by the guide.

        step (N,): steps of the episode flown so far. Only the policy's actions get Gaussian noise of that deviation.
        """
        by_guide = step < self.hand_over
        fresh = self.generator.standard_normal(policy.shape, np.float32)
        memory = np.where((step == 0)[:, None], np.float32(0), self.memory)
        self._noise = memory * self._noise + np.sqrt(1 - memory**2) * fresh
        explored = policy + noise * self.loudness[:, None] * self._noise
        action = np.where(by_guide[:, None], guide, explored)
        return np.clip(action, -1, 1, out=action).astype(np.float32, copy=False), by_guide
