"""viewer: shows vehicles, set-points, spikes and actions of a graph in 3-D in a browser (Rerun). It publishes nothing.

It serves the page itself, and reads the newest messages some times a second, so that no node waits for it.
"""

import socket
import sys
import time
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from spike_ctrl_msgs.msg import Spikes

from spike_ctrl.recordings.replay import AXES
from spike_ctrl.report.live_view import RUNGS
from spike_ctrl_ros import qos
from spike_ctrl_ros.declared_parameters import NodeParameterError, declare, parameter
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.timer import start_timer
from spike_ctrl_view import scene
from spike_ctrl_view.hearing import Hearing

SHOWN_SECONDS = 15.0
LEVELS = {"ok": "INFO", "warning": "WARN", "error": "ERROR"}


@dataclass(frozen=True)
class Parameters:
    port: int = parameter(9090, "TCP port of the page.", low=1, high=65535)
    data_port: int = parameter(9876, "TCP port of the page's data.", low=1, high=65535)
    rate: float = parameter(20.0, "Rate at which it reads the graph, Hz.", low=0.1, high=100.0)
    shown: int = parameter(256, "Most vehicles that are drawn.", low=1, high=8192)
    box: float = parameter(1.5, "Half the edge of the box around the origin, m.", low=0.1, high=100.0)
    size: float = parameter(0.12, "Distance from the centre of a drawn vehicle to its rotors, m.", low=0.01, high=10.0)


class Viewer(Node):
    def __init__(self):
        super().__init__("viewer")
        self.parameters = p = declare(self, Parameters)
        try:
            import rerun
        except ImportError:
            raise NodeParameterError("viewer needs the package rerun-sdk: pip install rerun-sdk") from None
        self.rerun, self.begun, self.tick, self.rung, self.path = rerun, time.monotonic(), -1, None, ()
        self.hearing, self.named, self.spikes = Hearing(self), set(), None
        self.create_subscription(Spikes, "policy/spikes", self.on_spikes, qos.STREAM)
        for name in ("port", "data_port"):
            _require_free(name, getattr(p, name))
        rerun.init("spike_ctrl")
        address = rerun.serve_grpc(grpc_port=p.data_port, default_blueprint=_layout(p.box))
        rerun.serve_web_viewer(web_port=p.port, open_browser=False, connect_to=address)
        rerun.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        look = {"colors": [scene.PATH], "radii": 0.003, "fill_mode": "MajorWireframe"}
        box = rerun.Boxes3D(half_sizes=[[p.box] * 3], **look)
        rerun.log("world/box", box, static=True)
        start_timer(self, 1 / p.rate, self.look)
        page = f"http://127.0.0.1:{p.port}/?url={address.replace(':', '%3A').replace('/', '%2F').replace('+', '%2B')}"
        self.get_logger().info(f"open {page} (it listens on all of this machine's addresses)")

    def look(self) -> None:
        """Draw what is new since the last call."""
        state = self.hearing.newest("state")
        if state is None or state.tick == self.tick:
            return
        self.tick, rr = state.tick, self.rerun
        rr.set_time("time", duration=time.monotonic() - self.begun)
        observation = np.frombuffer(state.observation, np.float32).reshape(-1, 18)[: self.parameters.shown]
        flight = self.hearing.newest("flight_state")
        position, rotation = observation[:, :3], observation[:, 3:12].reshape(-1, 3, 3)
        wanted = np.zeros(3)
        if flight is not None:
            position, rotation = np.array([flight.position]), scene.rotation(flight.quaternion)[None]
            point = self.hearing.newest("set_point")
            wanted = np.array(point.position if point is not None else flight.position)
        guided = np.frombuffer(state.flags, np.uint8)[: len(position)] & state.GUIDE > 0
        lines = scene.crosses(position, rotation, self.parameters.size)
        colours = np.repeat(np.where(guided[:, None], scene.GUIDE, scene.POLICY), 2, axis=0)
        rr.log("world/vehicles", rr.LineStrips3D(lines, colors=colours, radii=0.06 * self.parameters.size))
        rr.log("world/set_point", rr.Points3D([wanted], colors=[scene.SET_POINT], radii=0.25 * self.parameters.size))
        self.path = scene.path(self.path, position[0])
        rr.log("world/path", rr.LineStrips3D([self.path], colors=[scene.PATH], radii=0.03 * self.parameters.size))
        rr.log("error", rr.Scalars(float(np.linalg.norm(observation[0, :3]))))
        self.answers()
        self.neurons()

    def on_spikes(self, message: Spikes) -> None:
        self.spikes = message

    def neurons(self) -> None:
        """Draw each neuron of the first vehicle, coloured by the share of the latest steps in which it spiked."""
        if self.spikes is None:
            return
        rr, (spikes, layers) = self.rerun, scene.spikes(self.spikes)
        places, ends = scene.neurons(layers, self.parameters.box), np.cumsum(layers)
        colours = scene.glow(spikes.mean(0))
        for layer, rows in enumerate(map(slice, ends - layers, ends)):
            dots = rr.Points3D(places[rows], colors=colours[rows], radii=0.016 * self.parameters.box)
            rr.log(f"world/neurons/layer_{layer}", dots)
        self.spikes = None

    def answers(self) -> None:
        rr, status = self.rerun, self.hearing.newest("policy/status")
        for name, colour in (("policy", scene.POLICY), ("guide", scene.GUIDE)):
            answer = self.hearing.newest(f"{name}/action")
            known = answer is not None and answer.layout in AXES
            for axis, value in zip(AXES[answer.layout], answer.action[:4], strict=False) if known else ():
                path = f"actions/{scene.slug(axis)}/{name}"
                if path not in self.named:
                    rr.log(path, rr.SeriesLines(colors=[colour], names=[f"{axis}, {name}"]), static=True)
                    self.named.add(path)
                rr.log(path, rr.Scalars(value))
            rates = () if answer is None or name == "guide" else answer.spike_rate or (status.spike_rate if status else ())
            for layer, rate in enumerate(rates):
                path = f"spikes/layer_{layer}"
                if path not in self.named and layer < len(scene.LAYERS):
                    rr.log(path, rr.SeriesLines(colors=[scene.LAYERS[layer]], names=[f"layer {layer}"]), static=True)
                    self.named.add(path)
                rr.log(path, rr.Scalars(rate))
        supervisor = self.hearing.newest("supervisor/status")
        if supervisor is not None and supervisor.rung != self.rung:
            self.rung = supervisor.rung
            rr.log("events", rr.TextLog(f"{RUNGS.get(self.rung, self.rung)}: {supervisor.reason}", level="INFO"))
        for _, severity, text in self.hearing.said:
            rr.log("events", rr.TextLog(text, level=LEVELS.get(severity, "INFO")))
        self.hearing.said.clear()


def _require_free(name: str, port: int) -> None:
    """Raises NodeParameterError where a port is in use, which Rerun would only log."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("", port))
        except OSError as error:
            raise NodeParameterError(f"parameter '{name}': port {port}: {error.strerror}") from None


def _layout(box: float):
    """The layout of the page: vehicles on the left, seen from the south; plots and events on the right."""
    from rerun import TimeRangeBoundary, VisibleTimeRange, blueprint

    layers = "layer 0 blue, layer 1 green"
    # A legend would cover the lines. The titles name the colours; the mouse pointer on a line shows its name.
    last = {
        "plot_legend": blueprint.PlotLegend(visible=False),
        "time_ranges": VisibleTimeRange(
            "time",
            start=TimeRangeBoundary.cursor_relative(seconds=-SHOWN_SECONDS),
            end=TimeRangeBoundary.cursor_relative(seconds=0.0),
        ),
    }
    eye = blueprint.EyeControls3D(position=(0.5 * box, -3.0 * box, box), look_target=(0, 0, -0.1 * box), eye_up=(0, 0, 1))
    return blueprint.Blueprint(
        blueprint.Horizontal(
            blueprint.Spatial3DView(origin="world", name="vehicles", eye_controls=eye),
            blueprint.Vertical(
                blueprint.TimeSeriesView(origin="error", name="error of vehicle 0 (m)", **last),
                blueprint.TimeSeriesView(origin="actions", name="actions of vehicle 0: policy blue, guide orange", **last),
                blueprint.TimeSeriesView(origin="spikes", name=f"share of neurons that spike: {layers}", **last),
                blueprint.TextLogView(origin="events", name="events"),
            ),
            column_shares=[3, 2],
        ),
        collapse_panels=True,
    )


def main():
    sys.exit(run(Viewer))
