"""Where launch files, configurations and models lie: in the checkout, else in the share folder of an installation."""

import os
import sys
from pathlib import Path

FOLDERS = ("launch", "config", "models")


def folder(name: str) -> Path:
    """The folder "launch", "config" or "models". The checkout comes first: an edited file counts at once.

    Raises ValueError for another name, FileNotFoundError (with the places that were searched) where nothing is installed.
    """
    if name not in FOLDERS:
        raise ValueError(f"folder: found {name!r}, wanted one of {', '.join(FOLDERS)}")
    places = _places(name)
    for place in places:
        if place.is_dir():
            return place
    searched = ", ".join(str(place) for place in places)
    raise FileNotFoundError(f"{name}: no such folder of spike_ctrl; searched {searched}; install the package again")


def find(name: str, file: str) -> Path:
    """A file in a folder, as find("config", "recipes/td3bc.yaml").

    Raises FileNotFoundError that lists the files beside the missing one.
    """
    path = folder(name) / file
    if not path.is_file():
        beside = ", ".join(sorted(p.name for p in path.parent.glob(f"*{path.suffix}"))) or "no such files"
        raise FileNotFoundError(f"{file}: not found in {name}; there are: {beside}")
    return path


def _places(name: str) -> list[Path]:
    here = Path(__file__).resolve()
    places = []
    sources = here.parents[2]
    if (sources / "package.xml").is_file():  # a checkout, whose links lead to the folders at its root, or an unpacked sdist
        places.append((sources / "share" / name).resolve())
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), *_prefixes_above(here), sys.prefix]
    places += [Path(prefix) / "share" / "spike_ctrl" / name for prefix in dict.fromkeys(prefixes) if prefix]
    return places


def _prefixes_above(file: Path) -> list[str]:
    """The installation that holds PREFIX/lib/pythonX.Y/site-packages/spike_ctrl/_files/resources.py."""
    return [str(parent.parent) for parent in file.parents if parent.name == "lib"]
