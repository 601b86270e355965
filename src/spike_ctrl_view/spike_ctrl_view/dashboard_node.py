"""dashboard: shows a running graph in the terminal, four times a second. It publishes nothing."""

import sys
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node

from spike_ctrl.report.live_view import EVENTS, HISTORY, SeenGraph, SeenStream, render
from spike_ctrl_ros.declared_parameters import NodeParameterError, declare, parameter
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.timer import start_timer
from spike_ctrl_view.hearing import Hearing

ANSWERS = ("policy/action", "guide/action")
PERIOD, WINDOW = 0.25, 8  # s between pictures; pictures over which a rate is averaged


@dataclass(frozen=True)
class Parameters:
    seconds: float = parameter(0.0, "Time after which it prints one picture and ends, s; 0: it draws until Ctrl-C.", low=0.0)


class Dashboard(Node):
    def __init__(self):
        super().__init__("dashboard")
        self.parameters = declare(self, Parameters)
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            raise NodeParameterError("watch needs the package rich: pip install rich") from None
        self.console, self.begun, self.live = Console(), time.monotonic(), None
        self.hearing = Hearing(self)
        self.looks: deque[tuple[float, dict]] = deque([(self.begun, dict(self.hearing.counts))], maxlen=WINDOW)
        self.error: deque[float] = deque(maxlen=HISTORY)
        self.events: deque[tuple[float, str, str]] = deque(maxlen=EVENTS)
        self.rung, self.rung_since = None, 0.0
        if not self.parameters.seconds:
            self.live = Live(console=self.console, auto_refresh=False, screen=self.console.is_terminal)
            self.live.start()
        start_timer(self, PERIOD, self.draw)

    def seen(self, now: float) -> SeenGraph:
        hearing = self.hearing
        state, supervisor = hearing.newest("state"), hearing.newest("supervisor/status")
        if state is not None:
            self.error.append(float(np.linalg.norm(state.observation[:3])))
        if supervisor is not None and supervisor.rung != self.rung:
            self.rung, self.rung_since = supervisor.rung, now - self.begun
        self.events += [(when - self.begun, severity, text) for when, severity, text in hearing.said]
        hearing.said.clear()
        answers = {topic: answer for topic in ANSWERS if (answer := hearing.newest(topic)) is not None}
        since, before = self.looks[0]
        self.looks.append((now, dict(hearing.counts)))
        streams = tuple(
            SeenStream(
                topic, (count - before[topic]) / max(now - since, 1e-3), now - hearing.times[topic] if count else None
            )
            for topic, count in hearing.counts.items()
            if count or topic in ("state", *ANSWERS)
        )
        return SeenGraph(
            now=now - self.begun,
            nodes=tuple(sorted(set(self.get_node_names()) - {self.get_name()})),
            streams=streams,
            supervisor=supervisor,
            rung_since=self.rung_since,
            autopilot=hearing.newest("autopilot"),
            policy=hearing.newest("policy/status"),
            training=hearing.newest("training/status"),
            vehicles=0 if state is None else state.vehicles,
            error=tuple(self.error),
            actions={topic: tuple(answer.action[:4]) for topic, answer in answers.items()},
            layout=next((answer.layout for answer in answers.values()), "motors"),
            events=tuple(self.events),
        )

    def draw(self) -> None:
        now = time.monotonic()
        picture = render(self.seen(now))
        if self.live is not None:
            self.live.update(picture, refresh=True)
        elif now - self.begun >= self.parameters.seconds:
            self.console.print(picture)
            self.finished = any(self.hearing.counts.values())
            self.failure = None if self.finished else "nothing was heard"

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()


def main():
    sys.exit(run(Dashboard))
