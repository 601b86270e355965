"""Build the core or one plug-in, install it in an empty environment without the other plug-ins, and run its tests there.

python tests/packaging/alone.py core              # the library and the nodes; arguments after the name go to pytest
python tests/packaging/alone.py export -k nir

The environment borrows what the requirements bring from this one, and the messages, but none of our packages.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODES = sorted(path.parent for path in ROOT.glob("src/spike_ctrl_*/pyproject.toml"))
CORE = ["tests/unit", "tests/vehicle"]


def packages(name: str) -> list[Path]:
    """Folders of what is installed: the core, and a plug-in with the plug-ins that it asks for."""
    if name == "core":
        return [ROOT / "src" / "spike_ctrl", *NODES]
    folder = ROOT / "plug_ins" / name
    asked = re.findall(
        r'"spike_ctrl_(\w+)==', re.search(r"^dependencies = .*$", (folder / "pyproject.toml").read_text(), re.M)[0]
    )
    asked += [] if name == "launcher" else ["launcher"]  # what starts nodes, as ROS 2's own launch does elsewhere
    more = [found for one in asked if (ROOT / "plug_ins" / one).is_dir() for found in packages(one)]
    return list(dict.fromkeys([*packages("core"), *more, folder]))


def make(home: Path, folders: list[Path]) -> Path:
    """An environment with these packages, built; gives its Python."""
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    own = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    borrowed = home / "borrowed"
    borrowed.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        ours = "spike_ctrl" in path.name and not path.name.startswith("spike_ctrl_msgs")
        if not ours and path.suffix != ".pth":  # the links to our sources are .pth files
            (borrowed / path.name).symlink_to(path)
    (own / "borrowed.pth").write_text(f"{borrowed}\n")
    messages = home / "share" / "spike_ctrl_msgs"  # their definitions: a bag carries them
    messages.parent.mkdir(exist_ok=True)
    messages.symlink_to(Path(sys.prefix) / "share" / "spike_ctrl_msgs")
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-build-isolation", *folders], check=True)
    return python


def environment(python: Path) -> dict[str, str]:
    """That of a shell in which this Python comes first, and nothing leads to other packages of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AMENT_", "NUMBA_"))}
    return kept | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}


def main() -> int:
    name, *words = sys.argv[1:] or ["core"]
    known = ["core", *sorted(path.name for path in (ROOT / "plug_ins").iterdir())]
    if name not in known:
        print(f"alone: found '{name}', expected one of {', '.join(known)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="spike_ctrl_alone_") as scratch:
        python = make(Path(scratch) / "venv", packages(name))
        tests = CORE if name == "core" else [f"plug_ins/{name}/tests"]
        environment = os.environ | {
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        kinds = "not flight and not alone" + (" and not plug_ins" if name == "core" else "")
        command = [python, "-m", "pytest", "-m", kinds, *tests, *words]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
