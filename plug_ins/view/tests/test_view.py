"""Onlookers of a graph: the dashboard and the viewer.

- a dashboard tells what is published, in text, and ends; it ends with 1 where nothing is heard
- the page in the browser tells the same, draws the vehicle, and is served to this machine alone
- the viewer is refused in words where its package is missing, before anything starts
- a vehicle is drawn as it is built and as it is turned; the path begins anew with an episode
- keys filter the topics
- each neuron has its place on the wall, and glows as often as it spikes
"""

import importlib.util
import math
import os
import re
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import rclpy
from browser import CHROMIUM, Browser
from output import executable
from PIL import Image
from scipy.spatial.transform import Rotation
from spike_ctrl_msgs.msg import FlightState, Spikes, SupervisorStatus, VehicleState

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_view import scene, viewer_node
from spike_ctrl_view.typed_filter import typed


def test_a_dashboard_tells_what_is_published(ros_domain_id):
    rclpy.init(domain_id=ros_domain_id)
    node = rclpy.create_node("supervisor")
    status_out = node.create_publisher(SupervisorStatus, "supervisor/status", qos.STATUS)
    state_out = node.create_publisher(VehicleState, "state", qos.LOCKSTEP)
    watch = subprocess.Popen([executable("spike-ctrl"), "watch", "--seconds", "6"], stdout=subprocess.PIPE, text=True)
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
    wanted = (r"LAND for at least \d s   the autopilot lands", "told to", r"error 0\.100 m", r"state +\d+ +\d+ ms")
    for words in (*wanted, "warning +it lands", "supervisor"):
        assert re.search(words, text), f"{words} in {text}"


@pytest.mark.installed
def test_a_dashboard_without_a_graph_ends_with_a_line_that_says_so(ros_domain_id):
    command = [executable("spike-ctrl"), "watch", "--seconds", "0.3"]
    watch = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120)
    assert watch.returncode == 1 and watch.stderr == "error: nothing was heard\n"


BLUE = """i => {
    const drawn = new OffscreenCanvas(i.naturalWidth, i.naturalHeight).getContext('2d');
    drawn.drawImage(i, 0, 0);
    const pixels = drawn.getImageData(0, 0, i.naturalWidth, i.naturalHeight).data;
    return pixels.filter((value, at) => at % 4 == 0 && value < 60).length;
}"""  # pixels of a picture in the colour of a spike


class Flight:
    """A vehicle that hovers 1 m above the ground, .1 m beside its set-point; two of its twelve neurons spike."""

    def __init__(self):
        self.node = node = rclpy.create_node("supervisor")
        self.rung, self.tick, self.spikes = SupervisorStatus.GUIDE, 0, True
        topics = {"state": (VehicleState, qos.LOCKSTEP), "supervisor/status": (SupervisorStatus, qos.STATUS)}
        topics |= {"flight_state": (FlightState, qos.STREAM), "policy/spikes": (Spikes, qos.STREAM)}
        self.out = {topic: node.create_publisher(kind, topic, profile) for topic, (kind, profile) in topics.items()}

    def step(self) -> None:
        self.tick += 1
        if self.tick < 100 and self.tick % 2:  # the viewer must live through these
            self.out["state"].publish(VehicleState(vehicles=3, observation=[0.0] * 5, tick=10**6 + self.tick))
            self.out["policy/spikes"].publish(Spikes(neurons=[8, 4], spikes=[1, 2, 3]))
            self.out["flight_state"].publish(FlightState(position=[math.nan] * 3, quaternion=[math.nan] * 4))
            return
        about = {"stamp": 20_000_000 * self.tick, "tick": self.tick}  # half the pace of the real time
        seen = np.zeros((1, 18), np.float32)
        seen[0, :3] = (0.06, 0.08, 0.0)
        rows = np.packbits(np.tile([[1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]], (10, 1)), axis=1)
        self.out["state"].publish(fill(VehicleState(), **about, flags=np.zeros(1, np.uint8), observation=seen))
        pose = {"position": (0.0, 0.0, 1.0), "quaternion": (0.0, 0.0, 0.0, 1.0)}
        self.out["flight_state"].publish(fill(FlightState(), **about, **pose))
        if self.spikes:
            self.out["policy/spikes"].publish(fill(Spikes(), **about, neurons=[8, 4], spikes=rows))
        told = {"reason": "<b>told to</b>", "wanted": True, "events": []}
        self.out["supervisor/status"].publish(fill(SupervisorStatus(), stamp=0, rung=self.rung, **told))


@contextmanager
def flying(domain: int):
    rclpy.init(domain_id=domain)
    flight, ended = Flight(), threading.Event()

    def fly() -> None:
        while not ended.wait(0.04):
            flight.step()

    flies = threading.Thread(target=fly)
    flies.start()
    try:
        yield flight
    finally:
        ended.set()
        flies.join()
        flight.node.destroy_node()
        rclpy.shutdown()


@contextmanager
def watching(*arguments: str):
    """`spike-ctrl watch` with these arguments; Ctrl-C ends it."""
    watch = subprocess.Popen([executable("spike-ctrl"), "watch", *arguments], stderr=subprocess.PIPE, text=True)
    try:
        yield watch
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait(60)


def free_port() -> int:
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        return attempt.getsockname()[1]


def orange(page: Browser, path) -> int:
    """Pixels of a picture of the page, left of its panel, in the colour of what the guide flies."""
    page.picture(path)
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), int)[:, :500], 2, 0)
    return int(((red > green + 50) & (green > blue + 20)).sum())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
def test_the_page_shows_vehicle_ladder_error_and_spikes_to_this_machine_alone(ros_domain_id, tmp_path):
    port = free_port()
    with flying(ros_domain_id) as flight, watching("--web", "--port", str(port)) as watch:
        assert f"open http://127.0.0.1:{port}" in next(line for line in watch.stderr if "open" in line)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 5)
        socket.create_connection(("127.0.0.1", port), 5).close()  # as browsers do, to be quicker if they need one
        with Browser(f"http://127.0.0.1:{port}", (900, 600)) as page:
            page.wait_for("the guide flies, the policy is judged", "error of vehicle 0: 0.100 m", "flight_state")
            page.wait_until(lambda: re.search(r"clock 0\.\d+ x real time", page.text), "no pace of the vehicle's clock")
            assert page.evaluate("document.querySelector('.ladder .now').innerText") == "GUIDE"
            spikes = "[...document.querySelectorAll('img')].map(i => i.naturalHeight)"
            page.wait_until(lambda: 13 in page.evaluate(spikes), "no picture of twelve neurons and a line")
            page.wait_until(lambda: orange(page, tmp_path / "page.png") > 30, "no vehicle in the guide's colour")
            spiking = f"[...document.querySelectorAll('img')].filter(i => i.naturalHeight == 13).map({BLUE})[0]"
            page.wait_until(lambda: page.evaluate(spiking) > 0, "no spike in the picture")
            flight.spikes = False
            page.wait_until(lambda: page.evaluate(spiking) == 0, "spikes of a policy that is silent")
            flight.rung = SupervisorStatus.LAND
            page.wait_for("the autopilot lands", "<b>told to</b>")
            assert page.evaluate("document.querySelector('.ladder .now').innerText") == "LAND"
    assert watch.returncode == 0 and "Traceback" not in watch.stderr.read()


def test_a_port_that_is_in_use_is_refused_by_name():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"parameter 'port': port {port}: Address already in use"):
            viewer_node.require_free(port)


@pytest.mark.parametrize(
    ("before", "keys", "after"),
    [
        ("", "pol", "pol"),
        ("pol", "\x7f", "po"),
        ("pol", "\x1b", ""),
        ("po", "\x1b[A", ""),
        ("", "a/b_1 \t", "a/b_1"),
        ("", "\x7f", ""),
    ],
)
def test_keys_filter_the_topics(before, keys, after):
    assert typed(before, keys) == after


@pytest.mark.parametrize("name", ("sim_train", "flight"))
def test_a_viewer_without_its_package_is_refused_before_anything_starts(name, monkeypatch, capsys, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda what, *more: None if what == "viser" else real(what, *more))
    monkeypatch.chdir(tmp_path)
    given = [f"connection:=udpin:127.0.0.1:{free_port()}"] if name == "flight" else []
    assert main.main(["launch", name, "viewer:=web", *given]) == 2
    said = capsys.readouterr()
    assert "the package viser is missing: pip install viser" in said.err and not list(tmp_path.iterdir())


def test_a_vehicle_is_drawn_where_its_rotors_are_and_its_nose_is_in_front():
    vertices, faces = scene.quadrotor(0.1)
    assert faces.max() == len(vertices) - 1
    lobes = vertices[np.linalg.norm(vertices[:, :2], axis=1) > 0.106]  # beyond the arms there are only discs
    for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        disc = lobes[(np.sign(lobes[:, :2]) == (x, y)).all(1)]
        np.testing.assert_allclose(disc[:, :2].mean(0) / np.abs(disc[:, :2].mean(0)), (x, y), atol=0.01)
    middle = vertices[np.abs(vertices[:, 1]) < 0.021]
    assert middle[:, 0].max() > -middle[:, 0].min() + 0.02


def test_a_vehicle_is_turned_as_it_is():
    turns = Rotation.random(64, random_state=0)
    turns = Rotation.concatenate([turns, Rotation.identity(), *(Rotation.from_rotvec(np.pi * axis) for axis in np.eye(3))])
    found = scene.quaternions(turns.as_matrix())
    wanted = turns.as_quat()[:, [3, 0, 1, 2]]
    assert np.abs(np.abs((found * wanted).sum(1)) - 1).max() < 1e-12  # a quaternion and its negative are one turn
    np.testing.assert_allclose(scene.rotation(turns.as_quat()[0]), turns.as_matrix()[0], atol=1e-12)


def test_the_path_begins_anew_with_an_episode_has_an_end_and_the_colour_of_who_flew():
    way = ()
    for x in np.arange(0, 100, 0.1):
        way = scene.coloured_path(way, np.array([x, 0, 0]), (int(x), 0, 0))
    pieces, colours = scene.segments(way)
    assert len(way) == scene.PATH_LENGTH == len(pieces) + 1 and pieces[-1, 1, 0] == pytest.approx(99.9)
    assert (colours[:, :, 0] == pieces[:, 1:, 0].astype(int)).all()
    assert len(scene.coloured_path(way, np.zeros(3), (0, 0, 0))) == 1
    assert scene.segments(way[:1])[0].shape == (1, 2, 3)


def test_each_neuron_has_a_place_of_its_own_on_the_wall_of_the_box():
    places = scene.neurons([250, 16, 3], 1.5)
    assert places.shape == (269, 3) and (places[:, 1] == 1.5).all() and np.abs(places).max() <= 1.5
    assert len(np.unique(places.round(6), axis=0)) == 269
    assert places[:250, 0].max() < places[250:266, 0].min() and places[250:266, 0].max() < places[266:, 0].min()


def test_a_neuron_glows_by_the_share_of_steps_in_which_it_spiked():
    quiet, half, always = scene.glow(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal([quiet, always], [scene.QUIET, scene.SPIKING])
    np.testing.assert_array_equal(half, (scene.QUIET + scene.SPIKING) / 2)
