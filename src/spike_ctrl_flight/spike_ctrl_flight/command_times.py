"""How long it takes from a state to the command that answers it, for each that commands in a flight."""

from collections import deque

from spike_ctrl_msgs.msg import FlightCommand

from spike_ctrl.flight.answer_checks import KEPT_STATES
from spike_ctrl.flight.flight_statistics import Latencies

TIMED = {FlightCommand.POLICY: "policy", FlightCommand.GUIDE: "guide"}


class CommandTimes:
    """The latencies of policy and guide on the computer's clock (s); commands of others do not count."""

    def __init__(self) -> None:
        self._found = {name: Latencies() for name in TIMED.values()}
        self._shown: deque[tuple[int, float, float]] = deque(maxlen=KEPT_STATES)

    def shown(self, tick: int, stamp: float, now: float) -> None:
        """The state of this tick, with this stamp (s) of the vehicle, goes out."""
        self._shown.append((tick, stamp, now))

    def stamp(self, tick: int) -> float | None:
        """The stamp (s) of a state that a command answers; None where it went out long ago."""
        return next((stamp for found, stamp, _ in self._shown if found == tick), None)

    def add(self, commander: int, tick: int, now: float) -> None:
        """A command answers the state of this tick. commander: of FlightCommand."""
        shown = next((at for found, _, at in self._shown if found == tick), None)
        if commander in TIMED and shown is not None:
            self._found[TIMED[commander]].add(now - shown)

    def figures(self) -> dict[str, Latencies]:
        """For diagnostics."""
        return {f"latency_{name}": found for name, found in self._found.items()}

    def __str__(self) -> str:
        return "\n".join(f"from a state to its command, {name}: {found}" for name, found in self._found.items())
