"""Plug-ins as packages: a third party's adds its verb and its format, and a verb without its package names it."""

import shutil
import subprocess

import alone
import numpy as np
import pytest

from spike_ctrl.policy import checkpoint

MODEL = alone.ROOT / "models" / "crazyflie.safetensors"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Python of an environment with the core, the plug-in export and the example."""
    home = tmp_path_factory.mktemp("alone")
    copied = shutil.ignore_patterns("build", "*.egg-info")  # setuptools builds beside the sources
    example = shutil.copytree(alone.ROOT / "examples" / "plug_in", home / "plug_in", ignore=copied)
    return alone.make(home / "venv", [alone.ROOT / "src" / "spike_ctrl", alone.ROOT / "plug_ins" / "export", example])


def run(python, folder, *words):
    command = [python, "-m", "spike_ctrl.cli.main", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=alone.environment(python), capture_output=True, text=True, check=False)


def test_a_package_of_a_third_party_adds_a_verb(python, tmp_path):
    assert "size        Show how many parameters a policy has." in run(python, tmp_path, "--help").stdout
    shown = run(python, tmp_path, "size", MODEL)
    counts = {name: int(count) for name, count in map(str.split, shown.stdout.splitlines())}
    sizes = {name: values.size for name, values in checkpoint.load(MODEL).weights.items()}
    assert shown.returncode == 0 and counts == sizes | {"all": sum(sizes.values())}


def test_a_package_of_a_third_party_adds_an_export_format(python, tmp_path):
    target = tmp_path / "weights.npz"
    done = run(python, tmp_path, "export", MODEL, "--to", "npz", "-o", target)
    assert done.returncode == 0, done.stderr
    with np.load(target) as written:
        for name, values in checkpoint.load(MODEL).weights.items():
            np.testing.assert_array_equal(written[name], values)
    refused = run(python, tmp_path, "export", MODEL, "--to", "c", "--half", "-o", tmp_path / "c")
    assert refused.returncode == 2 and "--half: found with --to c, wanted only with --to npz" in refused.stderr


def test_an_unknown_format_names_those_that_there_are(python, tmp_path):
    refused = run(python, tmp_path, "export", MODEL, "--to", "nzp", "-o", tmp_path / "x")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: --to: found 'nzp'; did you mean 'npz'? wanted one of c, checkpoint, crazyflie, fpga, loihi, nir, npz, onnx\n"
    )


def test_a_verb_whose_package_is_not_installed_names_it(python, tmp_path):
    refused = run(python, tmp_path, "adapt", MODEL)
    assert refused.returncode == 2 and "pip install ./plug_ins/adaptation in a checkout" in refused.stderr
    assert "adapt" not in run(python, tmp_path, "--help").stdout
