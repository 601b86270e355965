"""Names under which Gymnasium makes our environments, registered without importing Gymnasium.

Gymnasium is slow to import and is not needed to fly. Where it is imported already, the names are registered at once. Where
it is not, they are registered as soon as somebody imports it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

POSITION = "spike_ctrl/Position-v0"
EPISODE_STEPS = 500


def register() -> None:
    """Register the names now, or as soon as Gymnasium is imported."""
    gymnasium = sys.modules.get("gymnasium")
    if gymnasium is not None:
        _register(gymnasium)
    elif not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterGymnasium())


def _register(gymnasium: ModuleType) -> None:
    home = "spike_ctrl.sim.gymnasium_environments"
    if POSITION not in gymnasium.registry:
        gymnasium.register(
            POSITION,
            entry_point=f"{home}:position",
            vector_entry_point=f"{home}:position_vector",
            max_episode_steps=EPISODE_STEPS,
        )


class _AfterGymnasium(importlib.abc.MetaPathFinder):
    """Finds Gymnasium as the other finders do, and has our names registered when it has been loaded."""

    asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "gymnasium" or self.asking:
            return None
        self.asking = True
        try:
            spec = importlib.util.find_spec(name)  # asks this finder, too
        finally:
            self.asking = False
        if spec is not None and (loader := spec.loader) is not None:

            def load_and_register(module: ModuleType) -> None:
                del loader.exec_module
                loader.exec_module(module)
                _register(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)

            loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
