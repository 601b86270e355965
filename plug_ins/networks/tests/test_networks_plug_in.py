"""Where the core meets this plug-in: what names it where it is missing or broken, and what it adds to the core."""

import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from example_runs import AIRFRAME, GRADIENT, recipe, told_where_to_start
from plain_networks import GRU, saved

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.bptt import TILE
from spike_ctrl.learn.learner import Learner
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl_networks.dense_network import DenseNetwork
from spike_ctrl_networks.module_bptt import ModuleGradient

ROOT = Path(__file__).resolve().parents[3]
MISSING = r"comes with the package spike_ctrl_networks, which is not installed: pip install \./plug_ins/networks"


@pytest.fixture
def uninstalled(monkeypatch):
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints())


@pytest.fixture(scope="module")
def gru():
    return saved(GRU())


def test_a_checkpoint_with_a_graph_names_the_package_that_reads_it(gru, uninstalled):
    with pytest.raises(CheckpointError, match=f"^gru.safetensors: graph: 'onnx' {MISSING}"):
        checkpoint.loads(gru, name="gru.safetensors")
    checkpoint.warm_up()


def test_a_checkpoint_with_a_graph_names_a_plug_in_that_is_broken(gru, monkeypatch):
    broken = metadata.EntryPoint("onnx", "nothing_of_that_name", "spike_ctrl.policy_formats")
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints([broken]))
    with pytest.raises(CheckpointError, match=r"^gru: graph: the plug-in 'onnx' of package .* cannot be loaded"):
        checkpoint.loads(gru, name="gru")
    checkpoint.warm_up()  # a policy of another kind flies


def test_a_spiking_checkpoint_needs_no_plug_in(uninstalled):
    assert checkpoint.load("crazyflie").policy.inputs == 18


@pytest.mark.parametrize("network", ["examples.gru:GRU", "spike_ctrl_networks.dense_network:DenseNetwork"])
def test_a_recipe_with_a_network_by_name_names_the_package_that_trains_it(network, uninstalled):
    with pytest.raises(UsageError, match=f"^network: 'module' {MISSING}"):
        Learner(recipe(GRADIENT, network=network), AIRFRAME, 16, 0)


def test_a_recipe_may_name_the_dense_network_where_it_was():
    for place in ("spike_ctrl.learn", "spike_ctrl_networks"):
        plan = recipe(GRADIENT, network={"class": f"{place}.dense_network:DenseNetwork", "hidden": [8]})
        assert isinstance(Learner(plan, AIRFRAME, 16, 0).actor, DenseNetwork)


def test_a_module_that_sees_the_voltage_is_trained_to_use_it():
    small = {"updates": 1, "vehicles": 2 * TILE, "pool": 2 * TILE, "segment": 10}
    network = {"class": "plain_networks:Linear", "voltage": True}
    plan = recipes.from_dict({"name": "seen", "base": "real", "network": network, "bptt": small})
    student = Learner(plan, airframe.load("crazyflie_real"), vehicles=16, seed=0)
    assert isinstance(student.method, ModuleGradient)
    before = student.flying_weights()["readout.weight"].copy()
    told_where_to_start(student)
    student.iterate()
    assert (student.flying_weights()["readout.weight"] != before)[:, 18].all()
    assert student.contract().sizes[0] == 19


def test_the_python_of_the_page_runs_and_the_file_that_it_saves_loads(monkeypatch, tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "networks.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(block, {"__name__": "networks_page"})
    policy = checkpoint.load_policy(tmp_path / "gru.safetensors")
    assert policy.step(np.zeros(18, np.float32), policy.initial_state())[0].shape == (4,)
