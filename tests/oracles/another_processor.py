"""What must be the same on every processor: python tests/oracles/another_processor.py, here and there, prints equal lines.

Each shipped model passes its self-test, and steps 1000 observations in numpy, compiled, and in numpy in the order of
the compiled step: the sha256 of all spikes.
"""

import hashlib
import platform
import sys

import numpy as np

from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint

STEPS = 1000


def observations() -> np.ndarray:
    """Smooth signals, so that neurons go through quiet and busy times: [STEPS, 18]."""
    signal = np.random.default_rng(1).standard_normal((STEPS, 18))
    for step in range(1, STEPS):
        signal[step] = 0.9 * signal[step - 1] + 0.5 * signal[step]
    return signal.astype(np.float32)


def spikes(policy, seen: np.ndarray) -> str:
    digest, state = hashlib.sha256(), policy.initial_state()
    for observation in seen:
        _, state = policy.step(observation, state)
        digest.update(np.packbits(state.spike > 0).tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    print(platform.machine(), file=sys.stderr)
    for file in sorted(resources.folder("models").glob("*.safetensors")):
        found = checkpoint.load(file)
        print(
            file.stem,
            "numpy",
            spikes(found.policy, observations()),
            "compiled",
            spikes(found.compiled(), observations()),
            "ordered",
            spikes(found.ordered(), observations()),
            flush=True,
        )
