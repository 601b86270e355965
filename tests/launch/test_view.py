"""Onlookers of a graph: the dashboard and the viewer.

- a dashboard tells what is published, in text, and ends; it ends with 1 where nothing is heard
- the viewer is refused in words where its package is missing, before anything starts
- a vehicle is drawn where it is, as it is turned; the path begins anew with an episode
- each neuron has its place on the wall, and glows as often as it spikes
"""

import importlib.util
import os
import re
import subprocess
import threading

import numpy as np
import pytest
import rclpy
from output import executable
from spike_ctrl_msgs.msg import SupervisorStatus, VehicleState

from spike_ctrl.cli import main
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_view import scene


def test_a_dashboard_tells_what_is_published(ros_domain_id):
    rclpy.init(domain_id=ros_domain_id)
    node = rclpy.create_node("supervisor")
    status_out = node.create_publisher(SupervisorStatus, "supervisor/status", qos.STATUS)
    state_out = node.create_publisher(VehicleState, "state", qos.LOCKSTEP)
    watch = subprocess.Popen([executable("spike-ctrl"), "watch", "--seconds", "3"], stdout=subprocess.PIPE, text=True)
    seen = np.zeros((2, 18), np.float32)
    seen[0, :3] = (0.06, 0.08, 0.0)
    while watch.poll() is None:
        status_out.publish(fill(SupervisorStatus(), stamp=0, rung=3, reason="told to", events=["warning: it lands"]))
        state_out.publish(fill(VehicleState(), stamp=0, flags=np.zeros(2, np.uint8), observation=seen))
        threading.Event().wait(0.02)
    text = watch.stdout.read()
    node.destroy_node()
    rclpy.shutdown()
    assert watch.returncode == 0, text
    for words in (r"LAND for \d s   told to", r"error 0\.100 m", r"state +\d+ +\d+ ms", "warning +it lands", "supervisor"):
        assert re.search(words, text), words


@pytest.mark.installed
def test_a_dashboard_without_a_graph_ends_with_a_line_that_says_so(ros_domain_id):
    command = [executable("spike-ctrl"), "watch", "--seconds", "0.3"]
    watch = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60)
    assert watch.returncode == 1 and watch.stderr == "error: nothing was heard\n"


@pytest.mark.parametrize("name", ("sim_train", "flight"))
def test_a_viewer_without_its_package_is_refused_before_anything_starts(name, monkeypatch, capsys, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda what, *more: None if what == "rerun" else real(what, *more))
    monkeypatch.chdir(tmp_path)
    assert main.main(["launch", name, "viewer:=rerun"]) == 2
    said = capsys.readouterr()
    assert "the package rerun-sdk is missing: pip install rerun-sdk" in said.err and not list(tmp_path.iterdir())


def test_a_vehicle_is_drawn_where_it_is_as_it_is_turned():
    left = scene.rotation((0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)))  # nose from east to north
    np.testing.assert_allclose(left @ (1, 0, 0), (0, 1, 0), atol=1e-12)
    (front_right, back_left), _ = scene.crosses(np.array([[1.0, 2.0, 3.0]]), left[None], 0.1)
    np.testing.assert_allclose(front_right, np.array([1, 2, 3]) + 0.1 / np.sqrt(2) * np.array([1, 1, 0]))
    np.testing.assert_allclose(back_left, np.array([1, 2, 3]) - 0.1 / np.sqrt(2) * np.array([1, 1, 0]))


def test_the_path_begins_anew_with_an_episode_and_has_an_end():
    way = ()
    for x in np.arange(0, 100, 0.1):
        way = scene.path(way, np.array([x, 0, 0]))
    assert len(way) == scene.PATH_LENGTH and way[-1][0] == pytest.approx(99.9)
    assert len(scene.path(way, np.zeros(3))) == 1


def test_each_neuron_has_a_place_of_its_own_on_the_wall_of_the_box():
    places = scene.neurons([250, 16, 3], 1.5)
    assert places.shape == (269, 3) and (places[:, 1] == 1.5).all() and np.abs(places).max() <= 1.5
    assert len(np.unique(places.round(6), axis=0)) == 269
    assert places[:250, 0].max() < places[250:266, 0].min() and places[250:266, 0].max() < places[266:, 0].min()


def test_a_neuron_glows_by_the_share_of_steps_in_which_it_spiked():
    quiet, half, always = scene.glow(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal([quiet, always], [scene.QUIET, scene.SPIKING])
    np.testing.assert_array_equal(half, (scene.QUIET + scene.SPIKING) / 2)
