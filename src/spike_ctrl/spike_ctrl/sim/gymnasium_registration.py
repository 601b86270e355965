"""Names under which Gymnasium makes environments, registered without importing Gymnasium.

Gymnasium is slow to import and is not needed to fly. Where it is imported already, the names are registered at once. Where
it is not, they are registered as soon as somebody imports it.
"""

from types import ModuleType

from spike_ctrl._files.after_import import after_import

POSITION = "spike_ctrl/Position-v0"
EPISODE_STEPS = 500


def register(
    name: str = POSITION, home: str = "spike_ctrl.sim.gymnasium_environments:position", steps: int = EPISODE_STEPS
) -> None:
    """Register a task now, or as soon as Gymnasium is imported. home: MODULE:NAME of its maker; NAME_vector makes many."""

    def add(gymnasium: ModuleType) -> None:
        if name not in gymnasium.registry:
            entries = {"entry_point": home, "vector_entry_point": f"{home}_vector"}
            gymnasium.register(name, **entries, max_episode_steps=steps)

    after_import("gymnasium", add)
