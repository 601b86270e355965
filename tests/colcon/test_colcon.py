"""The way of a ROS 2 user: `colcon build` and `colcon test` of all packages, where nothing of ours is installed yet.

The environment is this one's, by hard links, less our packages: what the requirements bring and no more.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted([file.parent.name for file in ROOT.glob("src/*/package.xml")])
PACKAGES += sorted(f"spike_ctrl_{file.parent.name}" for file in ROOT.glob("plug_ins/*/package.xml"))
PLACES = (ROOT / "src", ROOT / "plug_ins")
COLCON = ("-c", "from colcon_core.command import main; main()")


def environment(venv, **more):
    """That of a new shell with the environment activated."""
    inherited = {"_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"}
    kept = {name: value for name, value in os.environ.items() if name not in inherited}
    path = os.pathsep.join([str(venv / "bin"), kept["PATH"]])
    return kept | {"PATH": path, "VIRTUAL_ENV": str(venv), "AMENT_PREFIX_PATH": str(venv), **more}


@pytest.fixture(scope="module")
def venv():
    """This environment without our packages, within it: hard links do not cross file systems."""
    copy = Path(sys.prefix) / "colcon-environment"
    shutil.rmtree(copy, ignore_errors=True)
    scripts = [path for path in (Path(sys.prefix) / "bin").iterdir() if path.is_file()]
    ours = [path.name for path in scripts if b"from spike_ctrl" in path.read_bytes()]
    skip = shutil.ignore_patterns(copy.name, "build", "done", "*spike_ctrl*", *ours, "__pycache__")
    shutil.copytree(sys.prefix, copy, symlinks=True, copy_function=os.link, ignore=skip)
    yield copy
    shutil.rmtree(copy)


def run(venv, folder, verb, *arguments):
    # colcon's own command would start with the Python that it was installed by.
    command = [venv / "bin" / "python", *COLCON, verb, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(venv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def sources():
    """All files beside the sources, less what Python itself keeps when it runs."""
    return {path for place in PLACES for path in place.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.flight  # two minutes, to build
def test_all_packages_build_and_pass_their_tests(venv, tmp_path):
    before = sources()
    absent = "import importlib.util as i, sys; sys.exit(any(map(i.find_spec, sys.argv[1:])))"
    assert subprocess.run([venv / "bin" / "python", "-c", absent, *PACKAGES], env=environment(venv)).returncode == 0
    where = [
        "--base-paths",
        ROOT / "src",
        ROOT / "plug_ins",
        "--build-base",
        tmp_path / "build",
        "--install-base",
        tmp_path / "install",
    ]
    built = run(venv, tmp_path, "build", *where, "--cmake-args", "-DCMAKE_BUILD_TYPE=Release")
    assert f"Summary: {len(PACKAGES)} packages finished" in built, built[-8000:]
    assert sources() == before, "the build has changed the sources"
    install = tmp_path / "install"
    assert (install / "spike_ctrl" / "share" / "spike_ctrl" / "launch" / "flight.launch.py").is_file()
    assert (install / "spike_ctrl_flight" / "lib" / "spike_ctrl_flight" / "supervisor").is_file()  # where `ros2 run` looks
    chosen = ["--event-handlers", "console_direct+", "--return-code-on-test-failure", "--pytest-args", "-m", "installed"]
    tested = run(venv, tmp_path, "test", *where, *chosen)
    assert f"Summary: {len(PACKAGES)} packages finished" in tested, tested[-8000:]
    result = run(venv, tmp_path, "test-result", "--test-result-base", tmp_path / "build", "--all")
    reports = [line for line in result.splitlines() if "pytest.xml: " in line]
    assert len(reports) == len(PACKAGES) - 1, result  # spike_ctrl_msgs has no Python of its own
    unproven = [line for line in reports if ": 0 tests" in line or " 0 errors, 0 failures, 0 skipped" not in line]
    assert not unproven


def test_a_build_of_links_uses_the_sources_as_they_are(venv, tmp_path):
    where = [
        "--base-paths",
        ROOT / "src",
        ROOT / "plug_ins",
        "--build-base",
        tmp_path / "build",
        "--install-base",
        tmp_path / "install",
    ]
    run(venv, tmp_path, "build", "--symlink-install", *where, "--packages-select", "spike_ctrl", "spike_ctrl_studies")
    launch = tmp_path / "install" / "spike_ctrl" / "share" / "spike_ctrl" / "launch" / "flight.launch.py"
    assert launch.resolve() == ROOT / "launch" / "flight.launch.py"
    loaded = (
        f". {tmp_path}/install/setup.sh; python -c 'import spike_ctrl; print(spike_ctrl.__file__)'; spike-ctrl --version"
    )
    file, version = subprocess.check_output(["sh", "-c", loaded], env=environment(venv), text=True).splitlines()
    assert Path(file).resolve() == ROOT / "src" / "spike_ctrl" / "spike_ctrl" / "__init__.py"
    assert version == "0.2.0"
