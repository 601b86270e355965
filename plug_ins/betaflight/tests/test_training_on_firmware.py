"""A training on Betaflight's own firmware, whose executable BETAFLIGHT_SITL names: the whole graph beside the simulation.

It takes off, flies episodes, lands when the training is over, and leaves a policy.
"""

import re

import pytest
import yaml
from live_training_recipe import SHORT
from output import executable
from programs import Program

from spike_ctrl.policy import checkpoint

pytest.importorskip("spike_ctrl_sitl", reason="plug_ins/sitl, which trains on autopilots, is not installed")
pytestmark = pytest.mark.flight


def test_it_trains_on_the_firmware_and_lands(sitl, start_graph, tmp_path):
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(SHORT))
    words = ["--firmware", sitl, "--folder", tmp_path / "firmware", "--far", "20", "--again", "--speed", "4"]
    simulation = Program([executable("spike-ctrl"), "betaflight", "sitl", *words])
    try:
        simulation.wait_for(lambda: "connection tcp" in simulation.output, 120.0)
        link = ("backend:=autopilot", "link:=betaflight", f"connection:=sitl:{tmp_path / 'firmware'}", "airframe:=racer")
        graph = start_graph(*link, "recipe:=short.yaml", "height:=2.5", "room:=2", "run:=run")
        assert graph.end(400) == 0, graph.output
        told = len(simulation.output)  # it tells every 5 s where the vehicle is: landed
        simulation.wait_for(lambda: re.search(r"s: at \S+, \S+, 0\.00 m", simulation.output[told:]), 20.0)
    finally:
        assert simulation.end(seconds=30) == 0, simulation.output
    rows = re.search(r"px4_backend: (\d+) rows; .*flown (\d+)", graph.output)
    assert int(rows[1]) >= 1000 and int(rows[2]) >= 1, graph.output
    checkpoint.load(tmp_path / "run" / "policy.safetensors", expect={"airframe": "racer", "action": "rates"})
