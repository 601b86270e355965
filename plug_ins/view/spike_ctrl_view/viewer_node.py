"""viewer: shows a running graph in a browser, with vehicles and neurons in 3-D, ladder, errors and ages (viser).

It publishes nothing, reads the newest messages some times a second, so that no node waits for it, and serves the page to
this machine only.
"""

import logging
import socket
import sys
import time
from collections import deque
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO

import numpy as np
from spike_ctrl_msgs.msg import Spikes

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.flight.faults import Rung
from spike_ctrl_ros import qos
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run
from spike_ctrl_view import live_page, scene
from spike_ctrl_view.hearing import RECENT
from spike_ctrl_view.live_charts import LiveCharts
from spike_ctrl_view.live_page import OTHER_COLOUR, RUNG_COLOURS
from spike_ctrl_view.stage import Stage
from spike_ctrl_view.watched_graph import PERIOD, WatchedGraph

HOST = "127.0.0.1"
FOLDERS = ("Graph", "Flight", "Training", "Error", "Policy", "Spikes", "Topics", "Events")
SHOWN_STEPS, GLOW_STEPS = 200, 10  # of the spikes beside the vehicles; that a neuron glows by


@dataclass(frozen=True)
class Parameters:
    port: int = within(9090, 1, 65535, "TCP port of the page.")
    rate: float = within(20.0, 1.0, 100.0, "Rate at which it reads the graph.", "Hz")
    shown: int = within(256, 1, 8192, "Most vehicles that are drawn.")
    box: float = within(1.5, 0.1, 100.0, "Half the edge of the box around the origin.", "m")
    size: float = within(
        0.16, 0.01, 10.0, "Distance from the centre of a drawn vehicle to its rotors; half of it where several fly.", "m"
    )
    topics: str = setting("", "Part of the names of the topics that are shown; empty: all.")


class Viewer(ProcessNode):
    def __init__(self) -> None:
        super().__init__("viewer")
        self.parameters = p = declare(self, Parameters)
        try:
            import viser
        except ImportError:
            raise UsageError("watch --web needs the package viser: pip install viser") from None
        require_free(p.port)
        self.graph, self.tick = WatchedGraph(self), -1
        self.graphs = self.graph.graphs  # when something was drawn last
        self.create_subscription(Spikes, "policy/spikes", self.on_spikes, qos.STREAM)
        self.spikes: deque[np.ndarray] = deque(maxlen=SHOWN_STEPS)
        self.layers: list[int] = []
        self.spiked = 0.0  # when spikes were heard last, s
        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # browsers open connections that they do not use
        with redirect_stdout(StringIO()):  # it would say in a box where it listens
            self.server = viser.ViserServer(HOST, p.port, label="spike-ctrl watch", verbose=False)
        self.server.request_share_url = _no_way_in  # type: ignore[method-assign]
        self.server.gui.configure_theme(
            control_layout="fixed", control_width="large", dark_mode=False, show_logo=False, show_share_button=False
        )
        self.server.scene.add_light_ambient("/light", intensity=1.5)
        self.server.scene.configure_environment_map(None)  # lights alone: a page is drawn sooner without a map to decode
        self.stage = Stage(self.server, p.box, p.size)
        self.server.on_client_connect(self.stage.welcome)
        self.stage.wait("nothing is heard yet")
        self.panels = {}
        gui = self.server.gui
        folders = {name: gui.add_folder(name, visible=False) for name in FOLDERS}
        for name in live_page.panels(self.graph.seen(time.monotonic())):
            with folders[name]:
                self.panels[name] = folders[name], gui.add_html("")
        with folders["Topics"]:
            self.filter = gui.add_text("show", p.topics, hint="part of a topic's name")
        self.charts = LiveCharts(gui, folders["Error"], folders["Spikes"], p.rate)
        self.start_timer(1 / p.rate, self.look)
        self.start_timer(PERIOD, self.tell)
        self.get_logger().info(f"open http://{HOST}:{p.port}")

    def on_spikes(self, message: Spikes) -> None:
        rows, layers = scene.spikes(message)
        if not len(rows):
            return
        if layers != self.layers:  # another network
            self.layers = layers
            self.spikes.clear()
            self.stage.forget_neurons()
        self.spikes.extend(rows)
        self.spiked = time.monotonic()

    def look(self) -> None:
        """Draw what is new since the last call."""
        hearing = self.graph.hearing
        state = hearing.newest("state")
        if state is None or state.tick == self.tick:
            return
        self.tick = state.tick
        rates = getattr(hearing.present("policy/action"), "spike_rate", ())
        self.charts.add(time.monotonic(), float(np.linalg.norm(state.observation[:3])), rates)
        observation = np.frombuffer(state.observation, np.float32).reshape(-1, 18)[: self.parameters.shown]
        guided = np.frombuffer(state.flags, np.uint8)[: len(observation)] & state.GUIDE > 0
        position, rotation = observation[:, :3], observation[:, 3:12].reshape(-1, 3, 3)
        wanted, flight, supervisor = np.zeros(3), hearing.newest("flight_state"), hearing.newest("supervisor/status")
        colours = np.where(guided[:, None], *(scene.colour(RUNG_COLOURS[rung]) for rung in (Rung.GUIDE, Rung.SNN)))
        if flight is not None:
            position, rotation = np.array([flight.position]), scene.rotation(flight.quaternion)[None]
            point = hearing.newest("set_point")
            wanted = np.array(point.position if point is not None else flight.position)
            shown = OTHER_COLOUR if supervisor is None else RUNG_COLOURS.get(supervisor.rung, OTHER_COLOUR)
            colours = np.array([scene.colour(shown)])
        self.stage.show(position, rotation, colours, wanted, flies=flight is not None)

    def tell(self) -> None:
        """Write what is known beside the scene."""
        seen = self.graph.seen(time.monotonic(), self.filter.value)
        if self.graphs != self.graph.graphs:  # nothing of one graph is shown with another
            self.graphs = self.graph.graphs
            self.stage.forget_way()
            self.charts.rows.clear()
            self.spikes.clear()
        if self.spikes and time.monotonic() - self.spiked > RECENT:  # nothing spikes in a dead policy
            self.spikes.extend(np.zeros((SHOWN_STEPS, sum(self.layers))))
        if not self.server.get_clients():
            return
        for name, text in live_page.panels(seen).items():
            folder, content = self.panels[name]
            folder.visible = bool(text)
            if content.content != text:
                content.content = text
        if len(self.spikes) >= GLOW_STEPS:
            self.stage.draw_neurons(self.layers, np.mean(list(self.spikes)[-GLOW_STEPS:], axis=0))
        self.charts.draw(PASS_ERROR, self.spikes, self.layers)

    def close(self) -> None:
        self.server.stop()


def _no_way_in(*_: object, **__: object) -> None:
    """No page may ask for a way in from outside."""


def require_free(port: int) -> None:
    """Raises UsageError where a port is in use, in place of which viser would take another."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"parameter 'port': port {port}: {error.strerror}; wanted another, as --port {port + 1}"
            ) from None


def main() -> None:
    sys.exit(run(Viewer))
