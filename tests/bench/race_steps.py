"""Speed of the racing task: `python tests/bench/race_steps.py` prints steps per CPU-second of this process, one thread.

1024 vehicles on drawn courses, random actions, best of several runs taken in turn. A step is all of it: action in, dynamics,
gates, observation, reward, ends of flights and new starts on new courses. `noise` also has an estimate that errs.
"""

import json
import time

import numpy as np

from spike_ctrl_racing.race_senses import like_px4
from spike_ctrl_racing.racing_environment import make_race

VEHICLES, STEPS, RUNS = 1024, 100, 7
KINDS = {
    "rates": {"layout": "rates"},
    "motors": {"layout": "motors"},
    "rates, battery": {"airframe": "racer_battery"},
    "rates, noise": {"randomisation": like_px4()},
}


def measure(steps: int = STEPS, runs: int = RUNS) -> dict[str, float]:
    """Steps/s of the racing task, by kind."""
    actions = np.random.default_rng(0).uniform(-1, 1, (VEHICLES, 4)).astype(np.float32)
    worlds, best = (
        {kind: make_race(vehicles=VEHICLES, **options) for kind, options in KINDS.items()},
        dict.fromkeys(KINDS, 0.0),
    )
    for world in worlds.values():
        world.reset(seed=0)
        world.step(actions)  # compiles
    for _ in range(runs):
        for kind, world in worlds.items():
            begun = time.process_time()
            for _ in range(steps):
                world.step(actions)
            best[kind] = max(best[kind], VEHICLES * steps / (time.process_time() - begun))
    return best


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
