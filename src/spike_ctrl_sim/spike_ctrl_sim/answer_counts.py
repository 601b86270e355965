"""What came of the answers that the simulator waited for, for its diagnostics. Pure."""

from collections import deque

import numpy as np


class AnswerCounts:
    """latencies: s from a state to the answers of all, in real time those of 10 s. missed: ticks without all in time.

    stood_in: ticks that the guide flew in the place of a silent policy. malformed: answers that were dropped.
    """

    def __init__(self) -> None:
        self.latencies: deque[float] = deque(maxlen=1000)
        self.missed = self.stood_in = self.malformed = 0
        self._tick = 0

    def figures(self, tick: int) -> dict[str, object]:
        """After this tick. It is asked once a second."""
        median, late = np.percentile(self.latencies, [50, 99]) * 1e3 if self.latencies else (np.nan, np.nan)
        before, self._tick = self._tick, tick
        return {
            "tick": tick,
            "ticks_per_second": tick - before,
            "latency_median_ms": f"{median:.3f}",
            "latency_p99_ms": f"{late:.3f}",
            "deadlines_missed": self.missed,
            "flown_by_guide": self.stood_in,
            "answers_malformed": self.malformed,
        }
