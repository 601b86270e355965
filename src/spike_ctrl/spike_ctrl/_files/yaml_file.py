"""Configuration files in YAML: found by name or path, read strictly, with errors of one line."""

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError, meant, refused

LONGEST = 1_000_000  # bytes of a file


def find(name: str, kind: str, folder: Path | None = None) -> Path:
    """The configuration file called `name`. Raises UsageError if there is none.

    name: a name in the folder (default: config/KINDs), or a path that ends in .yaml or .yml. kind: for example "airframe".
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    folder = folder or resources.folder("config") / f"{kind}s"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        listed = f"known: {', '.join(known)} (or give a path to a .yaml file)"
        raise UsageError(f"{kind} '{name}' not found; {listed}{meant(name, known)}")
    return folder / f"{name}.yaml"


def read(path: Path, kind: str) -> object:
    """The contents of a YAML file. Raises UsageError if it cannot be read, is too long, is not YAML, or has a key twice."""
    with refused(f"{kind} {path}: cannot be read"), path.open("rb") as file:
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise UsageError(f"{kind} {path}: found more than {LONGEST} bytes, wanted a configuration")
    return parse(data, f"{kind} {path}")


def parse(data: bytes, source: str) -> object:
    """What YAML says. Raises UsageError, which begins with `source`, if it is no YAML or has a key twice."""
    try:
        return yaml.load(data.decode("utf-8"), _StrictLoader)
    except RecursionError:
        raise UsageError(f"{source}: not valid YAML (nested too deep)") from None
    # dates, numbers and tags raise too
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as found:
        raise UsageError(f"{source}: not valid YAML ({found})") from None


def leaves(settings: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested settings that are no mappings, by their dotted paths.

    >>> dict(leaves({"name": "td3bc", "schedule": {"steps": 2000}}))
    {'name': 'td3bc', 'schedule.steps': 2000}
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


class _StrictLoader(yaml.CSafeLoader):
    """The safe loader, which by itself would accept a key twice and keep the second value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key in (str(key.value) for key, _ in node.value):
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
