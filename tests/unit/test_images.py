"""What can be known of the images without building them; docker/build_images.sh builds those on Debian and flies in them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
DEBIAN = ["debian_flight", "debian_train"]
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def stages():
    """{name: (what it is made from, its instructions)}; a stage has what it is made from too."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    found = {}
    for line in text.splitlines():
        if named := re.match(r"FROM (\S+) AS (\S+)", line):
            found[named[2]] = (named[1], [])
            instructions = found[named[2]][1]
        elif found and line and not line.startswith("#"):
            instructions.append(line.split(None, 1))
    return found


def last(stage, instruction):
    """The last of its kind that holds in a stage: its own, or that of the stage that it is made from."""
    base, instructions = stages()[stage]
    own = [value for name, value in instructions if name == instruction]
    return own[-1] if own else last(base, instruction) if base in stages() else None


def lint(dockerfile):
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    return subprocess.run([hadolint, "-c", ROOT / ".hadolint.yaml", dockerfile], capture_output=True, text=True, check=False)


def test_the_linter_finds_nothing():
    run = lint(DOCKERFILE)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_linter_finds_what_is_wrong(tmp_path):
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM ubuntu:latest\nRUN cd /tmp\n")
    run = lint(wrong)
    assert run.returncode == 1 and "DL3007" in run.stdout


@pytest.mark.parametrize("image", ["flight", "train", "dev", *DEBIAN])
def test_an_image_runs_as_an_ordinary_user_and_says_how_it_is(image):
    assert last(image, "USER") == "1000:1000"
    assert last(image, "HEALTHCHECK")


def test_all_that_is_copied_exists_and_reaches_the_build():
    wanted = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    for _, instructions in stages().values():
        for name, value in instructions:
            if name == "COPY" and not value.startswith("--from"):
                for source in value.split()[:-1]:
                    assert (ROOT / source).exists(), source
                    assert any(source == kept or source.startswith(f"{kept}/") for kept in wanted), source


def test_an_image_holds_models_without_their_pages():
    """The last line of .dockerignore that fits decides; the pages of figures are larger than the models."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines.index("models/*.html") > lines.index("!models")


def test_the_images_hold_every_package():
    """colcon builds what lies below its base paths; a folder of packages that is not among them is in no image."""
    folders = {file.relative_to(ROOT).parts[0] for file in ROOT.glob("*/*/package.xml")}
    instructions = stages()["build"][1]
    copied = {value.split()[0] for name, value in instructions if name == "COPY"}
    (build,) = [value for name, value in instructions if name == "RUN" and "colcon build" in value]
    assert folders == {"src", "plug_ins"} <= copied
    assert set(build.partition("--base-paths ")[2].partition(" --")[0].split()) == folders


def test_the_aircraft_has_no_torch():
    pip = [value for name, value in stages()["flight"][1] if name == "RUN" and "pip install" in value]
    assert pip and all("train.txt" not in value for value in pip)
    assert "torch" not in [line.split("=")[0] for line in (ROOT / "requirements" / "flight.txt").read_text().splitlines()]


def test_an_image_trains_with_the_torch_of_all_figures_from_an_index_that_may_be_named():
    runs = [value for name, value in stages()["train"][1] if name == "RUN"]
    torch, others = runs[0].split("&&")
    assert "-r /tmp/requirements/torch.txt" in torch and '${TORCH_INDEX:+--index-url "${TORCH_INDEX}"}' in torch
    assert "-c /tmp/requirements/torch.txt" in others and "--index-url" not in others


@pytest.mark.parametrize("image", DEBIAN)
def test_an_image_on_debian_keeps_flights_and_trainings_on_volumes(image):
    folder = last(image, "WORKDIR")
    assert json.loads(last(image, "VOLUME")) == [f"{folder}/runs", f"{folder}/bags"]


@pytest.mark.parametrize("image", DEBIAN)
def test_an_image_on_debian_is_of_the_checkouts_own_setup_and_leaves_its_tools_behind(image):
    """The compiler stays in the stage that builds."""
    base, instructions = stages()[image]
    (made,) = [value for name, value in instructions if name == "COPY"]
    build = f"{image}_build"
    assert made == f"--from={build} --chown=1000:1000 /spike_ctrl /spike_ctrl"
    target = re.search(r" make (\S+)", last(build, "RUN"))[1].replace(".venv/done", "$(DONE)")
    assert re.search(rf"(?m)^{re.escape(target)}:", (ROOT / "Makefile").read_text())
    (packages,) = [value for name, value in stages()[base][1] if name == "RUN"]
    assert "g++" not in packages and "g++" in stages()["debian_build"][1][0][1]


def test_what_only_a_build_or_a_test_needs_leaves_an_image(tmp_path):
    """docker/slim.sh in a small .venv: a library that lies there twice becomes a link, what a run imports stays."""
    packages = tmp_path / ".venv" / "lib" / "packages"
    names = ("apsw", "llvmlite", "lxml", "lz4", "yaml", "zstandard", "numpy", "numpy/testing")
    kept = [f"{name}/__init__.py" for name in names]
    kept += ["pymavlink/dialects/v20/development.py", "one.libs/libshared.so", "two.libs/libshared.so"]
    gone = ["numpy/tests/test_all.py", "numba/cuda/tests/data/large.csv", "torch/include/torch.h"]
    gone += ["numpy/core.c", "ros.cmake", "pymavlink/dialects/v10/common.py"]
    for file in kept + gone:
        (packages / file).parent.mkdir(parents=True, exist_ok=True)
        (packages / file).write_bytes(bytes(200_000))
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir()
    answers = f'case "$*" in *sysconfig*) echo {packages};; *pip*) ;; *) exec {sys.executable} "$@";; esac'
    python.write_text(f"#!/bin/sh\n{answers}\n")
    python.chmod(0o755)
    subprocess.run([ROOT / "docker" / "slim.sh"], cwd=tmp_path, check=True)
    assert {file for file in kept + gone if (packages / file).exists()} == set(kept)
    assert sum((packages / f"{name}.libs" / "libshared.so").is_symlink() for name in ("one", "two")) == 1


def test_the_builder_checks_every_image_on_debian():
    script = (ROOT / "docker" / "build_images.sh").read_text()
    assert set(re.findall(r"(?m)^check_(\w+)\(\)", script)) == set(DEBIAN) <= stages().keys()


def test_the_embedded_vehicle_flies_without_the_packages_of_training():
    code = """
import sys
for name in ("scipy", "torch", "gymnasium", "rich"):
    sys.modules[name] = None
from spike_ctrl.airframe import Airframe
from spike_ctrl.cli import vehicle
from spike_ctrl.simulated_px4.vehicle import Vehicle
one = Vehicle(Airframe.load("sih_quadx"))
for _ in range(10):
    one.tick()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_pip_leaves_the_packages_of_ubuntu_alone():
    """ROS brings Ubuntu's PyYAML; pip gives up where it is to replace what apt-get installed. All goes into /opt/python."""
    runs = [value for _, instructions in stages().values() for name, value in instructions if name == "RUN"]
    called = [command for value in runs for command in re.findall(r"(\S*pip3?)(?=[^&]* install)", value)]
    assert len(called) == 3 and set(called) == {"/opt/python/bin/pip"}
    flight = next(value for value in runs if "flight.txt" in value)
    shown = flight.index("python.pth")
    assert flight.index("venv --system-site-packages /opt/python") < flight.index("pip install") < shown


def test_what_flies_asks_for_what_the_aircraft_has():
    """The dependencies of the library and requirements/flight.txt name the same packages, recording apart."""
    listed = {re.split("[=;<>]", line)[0] for line in (ROOT / "requirements" / "flight.txt").read_text().splitlines()[1:]}
    package = (ROOT / "src" / "spike_ctrl" / "pyproject.toml").read_text()
    named = set(re.findall(r'"(\w+)"', re.search(r"^dependencies = \[(.*?)\]", package, re.MULTILINE)[1]))
    recording = set(re.findall(r'"(\w+)"', re.search(r"^record = \[(.*?)\]", package, re.MULTILINE)[1]))
    assert listed == named | recording


@pytest.mark.parametrize("profile", ["train", "flight", "sih", "gazebo"])
def test_a_profile_starts_services_whose_images_exist_or_are_pinned(profile):
    services = [service for service in COMPOSE["services"].values() if profile in service["profiles"]]
    assert services
    for service in services:
        if build := service.get("build"):
            assert (ROOT / "docker" / build["context"] / build["dockerfile"]).is_file()
            assert build["target"] in stages()
        else:
            assert re.fullmatch(r"[\w./-]+:v\d+\.\d+\.\d+", service["image"]), service["image"]


def test_beside_gazebo_px4_arms_without_a_ground_station_and_the_policy_is_that_of_its_vehicle():
    """PX4's rcS runs AIRFRAME.post after the script of the airframe, which overwrites what the environment sets."""
    px4 = COMPOSE["services"]["px4_gazebo"]
    (file, place, _), *others = (volume.split(":") for volume in px4["volumes"])
    assert not others and place.endswith(f"/etc/init.d-posix/airframes/4001_{px4['environment']['PX4_SIM_MODEL']}.post")
    said = (ROOT / "docker" / file).read_text().splitlines()
    assert [line for line in said if not line.startswith("#")] == ["param set NAV_DLL_ACT 0"]
    (flight,) = [one for one in COMPOSE["services"].values() if "gazebo" in one["profiles"] and "command" in one]
    assert "airframe:=x500" in flight["command"]
    (other,) = [one for one in COMPOSE["services"].values() if "sih" in one["profiles"] and "command" in one]
    assert not [word for word in other["command"] if word.startswith("airframe")]


def test_the_launch_files_and_arguments_that_containers_start_exist():
    for service in COMPOSE["services"].values():
        if command := service.get("command"):
            assert command[:3] == ["ros2", "launch", "spike_ctrl"]
            launch = ROOT / "launch" / command[3]
            for argument in command[4:]:
                assert f'"{argument.split(":=")[0]}"' in launch.read_text()


def test_the_development_container_builds_from_the_same_file():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    build = container["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == DOCKERFILE
    assert build["target"] in stages()
    assert container["postCreateCommand"].split()[1] + ":" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_what_flies_is_locked_in_the_versions_of_training_without_torch(python):
    """`make setup_flight` takes the one file, `make setup` the other; each line wants a hash."""
    flight, train = (pinned(ROOT / "requirements" / "lock" / python / f"{group}.txt") for group in ("flight", "train"))
    assert flight.items() <= train.items() and not {"torch", "gymnasium", "onnx"} & flight.keys()
    wanted = (ROOT / "requirements" / "flight.txt").read_text().splitlines()
    assert {line.partition("==")[0].lower() for line in wanted if line[0] != "#"} <= flight.keys()
    text = (ROOT / "requirements" / "lock" / python / "flight.txt").read_text()
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z])", text))


def pinned(file):
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^ ]+)", file.read_text()))
