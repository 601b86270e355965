"""Small networks with random weights, whose neurons spike often."""

import numpy as np
import pytest
from graph_fixtures import *  # noqa: F403
from shared_fixtures import *  # noqa: F403

from spike_ctrl.snn.weight_shapes import weight_shapes


@pytest.fixture(scope="session")
def random_weights():
    """random_weights(sizes, recurrent, seed) gives weights by name; some neurons spike in most steps, some rarely."""

    def make(sizes, recurrent=False, seed=0):
        rng = np.random.default_rng(seed)
        weights = {
            name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in weight_shapes(sizes, recurrent).items()
        }
        for name in weights:
            if name.endswith(("beta", "theta")):
                weights[name] = rng.uniform(0.05, 1.0, weights[name].shape).astype(np.float32)
        return weights

    return make


@pytest.fixture(scope="session")
def random_observations():
    """random_observations(steps, inputs) gives [steps, inputs] of sizes from .1 to beyond 64, where inputs saturate."""

    def make(steps, inputs, seed=1):
        rng = np.random.default_rng(seed)
        return (rng.normal(0, 1, (steps, inputs)) * rng.choice([0.1, 1.0, 40.0], (steps, 1))).astype(np.float32)

    return make
