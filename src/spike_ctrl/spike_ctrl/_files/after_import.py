"""Does something as soon as a package has been imported, without importing it: it may be slow and not be needed."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


def after_import(package: str, action: Callable[[ModuleType], None]) -> None:
    """Call `action` with the package now if it is imported already, else as soon as it has been imported."""
    if (module := sys.modules.get(package)) is not None:
        action(module)
    else:
        sys.meta_path.insert(0, _After(package, action))


class _After(importlib.abc.MetaPathFinder):
    """Finds the package as the other finders do, and has the action done when it has been loaded."""

    def __init__(self, package: str, action: Callable[[ModuleType], None]) -> None:
        self.package, self.action, self.asking = package, action, False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the package, None for any other name."""
        if name != self.package or self.asking:
            return None
        self.asking = True
        try:
            spec = importlib.util.find_spec(name)  # asks this finder, too
        finally:
            self.asking = False
        if spec is not None and (loader := spec.loader) is not None:
            load = loader.exec_module

            def load_and_act(module: ModuleType) -> None:
                load(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                    self.action(module)

            loader.exec_module = load_and_act  # type: ignore[method-assign]
        return spec
