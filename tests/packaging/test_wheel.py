"""The way of a user without ROS: build spike_ctrl, install its wheel in an empty environment, evaluate and fly a model.

- the wheel is made from the sdist, so both hold what flies
- the build leaves nothing in the checkout
- far from the checkout, `spike-ctrl eval` finds the airframe and the model's contract, and a policy follows a hover
- its kernels compile there, and are kept in the package

The environment borrows what the requirements bring from this one, but none of our packages.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "spike_ctrl"
SHIPPED = [
    *sorted(PACKAGE.glob("share/launch/*.launch.py")),
    *sorted(PACKAGE.glob("share/config/*/*.yaml")),
    *sorted(PACKAGE.glob("share/models/*.safetensors")),
]

FLY = """
import spike_ctrl
from spike_ctrl._files import resources
from spike_ctrl.certification import flight_outcome, monte_carlo, moving_scenario

print(spike_ctrl.__file__)
who, settings = monte_carlo.competitors(resources.find("models", "sih_quadx.safetensors"))
scenario = moving_scenario.draw(1, settings.cage, settings.envelope, "none")._replace(duration=4.0)
flown, _ = flight_outcome.fly_scenario(scenario, who, settings)
print(flown.last, flown.outside, flown.seconds)
"""

EVAL = """
import sys
from spike_ctrl.cli.main import main
from spike_ctrl.evaluation import tracking

tracking.VEHICLES = 4
sys.exit(main(sys.argv[1:]))
"""

COMPILE = """
from pathlib import Path
from spike_ctrl.sim import observation

print(observation.build((0, 0, 1), (0, 0, 0, 1), (0, 0, 0), (0, 0, 0))[2])
print(*Path(observation.__file__).parents[1].glob("__pycache__/kernels-*/*/*.nbc"))
"""
INTERPRETED = {"NUMBA_DISABLE_JIT": "1"}  # all kernels of a simulation compile for longer than a short one takes without


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist and the wheel, made as a maintainer makes them."""
    before = sources()
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, PACKAGE], cwd=out)
    assert sources() == before, "the build has changed the checkout"
    return out


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    """Python of an environment that has the wheel."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    run([*pip, "install", "--no-deps", "--no-index", wheel], cwd=home)
    own = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    # A folder of links: the editable installations of our packages are .pth files, which count in no other place.
    borrowed = home / "borrowed"
    borrowed.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "spike_ctrl" not in path.name and path.suffix != ".pth":
            (borrowed / path.name).symlink_to(path)
    (Path(own) / "borrowed.pth").write_text(f"{borrowed}\n")
    return python


def sources():
    """All files beside the sources, less what Python itself keeps when it runs."""
    return {path for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts}


def run(command, cwd, **more):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AMENT_", "NUMBA_"))}
    done = subprocess.run(
        command, cwd=cwd, env=inherited | more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_sdist_and_wheel_hold_launch_files_recipes_airframes_models_and_types(built):
    shared = {path.relative_to(PACKAGE / "share").as_posix() for path in SHIPPED}
    assert {name.split("/")[-2] for name in shared} == {"launch", "airframes", "recipes", "models"}
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    assert all(packed[name].isreg() for name in ["spike_ctrl/py.typed", *(f"share/{name}" for name in shared)])
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.namelist()
    assert "spike_ctrl/py.typed" in packed and not [name for name in packed if "spike_ctrl/export" in name]
    assert shared <= {name.partition(".data/data/share/spike_ctrl/")[2] for name in packed}


def test_the_installed_wheel_evaluates_a_model(python, tmp_path):
    assert "crazyflie" in run([python.with_name("spike-ctrl"), "inspect", "models/crazyflie.safetensors"], cwd=tmp_path)
    words = ["eval", "models/crazyflie.safetensors", "--protocol", "hover", "--json", "hover.json"]
    run([python, "-c", EVAL, *words], cwd=tmp_path, **INTERPRETED)
    (found,) = json.loads((tmp_path / "hover.json").read_text())["hover"].values()
    assert 0 < found["rmse_m"] < 0.02


def test_the_installed_wheel_flies_a_model(python, tmp_path):
    file, flown = run([python, "-c", FLY], cwd=tmp_path, **INTERPRETED).splitlines()
    assert Path(file).is_relative_to(python.parents[1])
    last, outside, seconds = flown.split()
    assert last == "SNN" and float(outside) < 0 and float(seconds) > 3.5  # the policy flew to the end, inside the cage


def test_the_installed_wheel_compiles_a_kernel_and_keeps_it(python, tmp_path):
    height, kept = run([python, "-c", COMPILE], cwd=tmp_path).splitlines()
    assert float(height) == 1 and all(Path(file).is_relative_to(python.parents[1]) for file in kept.split())
    assert "observation._build" in kept
