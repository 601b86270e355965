"""dashboard: shows a running graph in the terminal, four times a second. It publishes nothing."""

import sys
import time
from dataclasses import dataclass

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run
from spike_ctrl_view.live_view import render
from spike_ctrl_view.typed_filter import TypedFilter
from spike_ctrl_view.watched_graph import PERIOD, WatchedGraph


@dataclass(frozen=True)
class Parameters:
    seconds: float = setting(
        0.0, "Time after which it prints one picture and ends; 0: it draws until Ctrl-C.", low=0.0, unit="s"
    )
    topics: str = setting("", "Part of the names of the topics that are shown; empty: all.")


class Dashboard(ProcessNode):
    def __init__(self) -> None:
        super().__init__("dashboard")
        self.parameters = declare(self, Parameters)
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            raise UsageError("watch needs the package rich: pip install rich") from None
        self.console, self.live = Console(), None
        self.graph, self.filter = WatchedGraph(self), TypedFilter(self.parameters.topics)
        if not self.parameters.seconds:
            self.filter.listen()
            self.live = Live(console=self.console, auto_refresh=False, screen=self.console.is_terminal)
            self.live.start()
        self.start_timer(PERIOD, self.draw)

    def draw(self) -> None:
        now = time.monotonic()
        picture = render(self.graph.seen(now, self.filter.read()))
        if self.live is not None:
            self.live.update(picture, refresh=True)
        elif now - self.graph.begun >= self.parameters.seconds:
            self.console.print(picture)
            self.finished = any(self.graph.hearing.counts.values())
            self.failure = None if self.finished else "nothing was heard"

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()
        self.filter.close()


def main() -> None:
    sys.exit(run(Dashboard))
