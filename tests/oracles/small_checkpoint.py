"""Weights and contract of a small checkpoint."""

import numpy as np

from spike_ctrl.policy.checkpoint import Contract
from spike_ctrl.snn.weight_shapes import weight_shapes

SIZES = (18, 24, 16, 4)
CONTRACT = Contract("crazyflie", "0123abcd", "setpoint_frame_18", "motors", 100.0, SIZES)


def make_weights(seed=0, sizes=SIZES):
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(0.05, 1.0, shape).astype(np.float32)
        if name.endswith(("beta", "theta"))
        else rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in weight_shapes(sizes).items()
    }
