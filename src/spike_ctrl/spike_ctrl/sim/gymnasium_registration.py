"""Names under which Gymnasium makes our environments, registered without importing Gymnasium.

Gymnasium is slow to import and is not needed to fly. Where it is imported already, the names are registered at once. Where
it is not, they are registered as soon as somebody imports it.
"""

from __future__ import annotations

from types import ModuleType

from spike_ctrl._files.after_import import after_import

POSITION = "spike_ctrl/Position-v0"
EPISODE_STEPS = 500


def register() -> None:
    """Register the names now, or as soon as Gymnasium is imported."""
    after_import("gymnasium", _register)


def _register(gymnasium: ModuleType) -> None:
    home = "spike_ctrl.sim.gymnasium_environments"
    if POSITION not in gymnasium.registry:
        gymnasium.register(
            POSITION,
            entry_point=f"{home}:position",
            vector_entry_point=f"{home}:position_vector",
            max_episode_steps=EPISODE_STEPS,
        )
