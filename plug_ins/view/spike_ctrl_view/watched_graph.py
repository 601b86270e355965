"""What dashboard and viewer remember of a running graph, between two looks at it."""

import math
import time
from collections import deque

import numpy as np
from rclpy.node import Node

from spike_ctrl_ros.convert import nanoseconds
from spike_ctrl_view.hearing import STATUS, Hearing
from spike_ctrl_view.live_view import EVENTS, HISTORY
from spike_ctrl_view.seen_graph import SeenGraph, SeenStream

ANSWERS = ("policy/action", "guide/action")
PERIOD, WINDOW = 0.25, 8  # s between looks; looks over which a rate is averaged


class WatchedGraph:
    """The graph that a node hears. `seen` is to be called every PERIOD."""

    def __init__(self, node: Node):
        self.node, self.hearing, self.begun = node, Hearing(node), time.monotonic()
        self.graphs = 0  # that were heard, one after the other
        self._events: deque[tuple[float, str, str]] = deque(maxlen=EVENTS)
        self._nodes: tuple[str, ...] = ()
        self._begin(self.begun)

    def _begin(self, now: float) -> None:
        """Forget what an earlier graph said. Its events stay: they have their times."""
        self.hearing.forget()
        self.graphs += 1
        self._looks: deque[tuple[float, float, dict[str, int]]] = deque(maxlen=WINDOW)
        self._looks.append((now, math.nan, dict(self.hearing.counts)))
        self._error: deque[float] = deque(maxlen=HISTORY)
        self._rung, self._rung_since, self._turned, self._tick = None, 0.0, False, -1

    def seen(self, now: float, wanted: str = "") -> SeenGraph:
        """The state of the graph at the monotonic time `now`, s. wanted: part of a topic's name, the others are hidden."""
        hearing, earlier = self.hearing, self._nodes
        self._nodes = self._others()
        state = hearing.newest("state")
        if (self._nodes and not earlier) or (state is not None and state.tick < self._tick):
            self._begin(now)
            state = None
        supervisor = hearing.newest("supervisor/status")
        if state is not None:
            self._tick = state.tick
            self._error.append(float(np.linalg.norm(state.observation[:3])))
        if supervisor is not None and supervisor.rung != self._rung:
            self._turned = self._rung is not None
            self._rung, self._rung_since = supervisor.rung, now - self.begun
        self._events += [(when - self.begun, severity, text) for when, severity, text in hearing.said]
        hearing.said.clear()
        answers = {topic: answer for topic in ANSWERS if (answer := hearing.newest(topic)) is not None}
        clock = math.nan if state is None else nanoseconds(state.header.stamp) * 1e-9
        since, clock_then, before = self._looks[0]
        self._looks.append((now, clock, dict(hearing.counts)))
        pace = (clock - clock_then) / max(now - since, 1e-3)
        return SeenGraph(
            now=now - self.begun,
            nodes=self._nodes,
            streams=tuple(
                SeenStream(
                    topic,
                    _rate(topic, count - before[topic], now - since, pace),
                    now - hearing.times[topic] if count else None,
                )
                for topic, count in hearing.counts.items()
                if count or topic in ("state", *ANSWERS)
            ),
            supervisor=supervisor,
            rung_since=self._rung_since,
            turned=self._turned,
            autopilot=hearing.newest("autopilot"),
            policy=hearing.newest("policy/status"),
            training=hearing.newest("training/status"),
            vehicles=0 if state is None else state.vehicles,
            error=tuple(self._error),
            actions={topic: tuple(answer.action[:4]) for topic, answer in answers.items()},
            layout=next((answer.layout for answer in answers.values()), "motors"),
            events=tuple(self._events),
            pace=pace,
            wanted=wanted,
        )

    def _others(self) -> tuple[str, ...]:
        """The other nodes of this namespace by name, those of other namespaces by their whole name."""
        own, known = self.node.get_namespace(), self.node.get_node_names_and_namespaces()
        names = {name if space == own else f"{space.rstrip('/')}/{name}" for name, space in known}
        return tuple(sorted(names - {self.node.get_name()}))


def _rate(topic: str, count: int, seconds: float, pace: float) -> float:
    """Messages per second of the vehicle's clock, which streams follow; per second of ours for what comes once a second,
    and where the vehicle's clock stands or is not known."""
    follows = topic not in STATUS and pace > 0
    return count / max(seconds * (pace if follows else 1.0), 1e-3)
