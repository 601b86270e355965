"""Where launch files, configurations and models lie: in the checkout, else in the share folder of an installation."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDERS = ("launch", "config", "models")


def folder(name: str) -> Path:
    """The folder "launch", "config" or "models". The checkout comes first: an edited file counts at once.

    Raises ValueError for another name, FileNotFoundError (with the places that were searched) where nothing is installed.
    """
    if name not in FOLDERS:
        raise ValueError(f"folder: found {name!r}, wanted one of {', '.join(FOLDERS)}")
    here = Path(__file__).resolve()
    sources = here.parents[2]  # of a checkout, whose links lead to the folders at its root, or of an unpacked sdist
    places = [(sources / "share" / name).resolve()] if (sources / "package.xml").is_file() else []
    # The installation may hold PREFIX/lib/pythonX.Y/site-packages/spike_ctrl/_files/resources.py.
    around = [str(parent.parent) for parent in here.parents if parent.name == "lib"]
    places += [prefix / "share" / "spike_ctrl" / name for prefix in prefixes(os.environ, *around)]
    for place in places:
        if place.is_dir():
            return place
    searched = ", ".join(str(place) for place in places)
    raise FileNotFoundError(f"{name}: no such folder of spike_ctrl; searched {searched}; install the package again")


def find(name: str, file: str) -> Path:
    """A file, as find("config", "recipes/td3bc.yaml"). Raises FileNotFoundError, which lists the files beside it."""
    path = folder(name) / file
    if not path.is_file():
        beside = ", ".join(sorted(p.name for p in path.parent.glob(f"*{path.suffix}"))) or "no such files"
        raise FileNotFoundError(f"{file}: not found in {name}; there are: {beside}")
    return path


def shipped_model(airframe: str) -> Path | None:
    """The model that is shipped for the airframe of this name; None: there is none."""
    path = folder("models") / f"{airframe}.safetensors"
    return path if path.is_file() else None


def prefixes(environment: Mapping[str, str], *more: str) -> list[Path]:
    """Where ROS packages are installed, the first one first: the workspaces that are sourced, more, this Python's own."""
    found = [*environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep), *more, sys.prefix]
    return [Path(prefix) for prefix in dict.fromkeys(found) if prefix]
