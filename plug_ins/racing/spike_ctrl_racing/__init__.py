"""Fast flight through gates: courses, the task `spike_ctrl/Racing-v0`, a spiking policy for it, and races.

`import spike_ctrl_racing` makes the task known to Gymnasium; where the package is installed, Gymnasium knows it by itself.
"""

from __future__ import annotations

from types import ModuleType

from spike_ctrl._files.after_import import after_import

RACING = "spike_ctrl/Racing-v0"
EPISODE_STEPS = 6000


def register() -> None:
    """Make the task known to Gymnasium, now or as soon as somebody imports it."""
    after_import("gymnasium", _register)


def _register(gymnasium: ModuleType) -> None:
    home = "spike_ctrl_racing.racing_environment"
    if RACING not in gymnasium.registry:
        gymnasium.register(
            RACING,
            entry_point=f"{home}:racing",
            vector_entry_point=f"{home}:racing_vector",
            max_episode_steps=EPISODE_STEPS,
        )


register()
