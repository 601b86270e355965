"""How long it takes from a state to the command that answers it, for each that commands in a flight."""

from spike_ctrl_msgs.msg import FlightCommand

from spike_ctrl.flight.flight_statistics import Latencies

TIMED = {FlightCommand.POLICY: "policy", FlightCommand.GUIDE: "guide"}


class CommandTimes:
    """The latencies of policy and guide; commands of others do not count."""

    def __init__(self) -> None:
        self._found = {name: Latencies() for name in TIMED.values()}

    def add(self, commander: int, seconds: float) -> None:
        """commander: of FlightCommand."""
        if commander in TIMED:
            self._found[TIMED[commander]].add(seconds)

    def figures(self) -> dict[str, Latencies]:
        """For diagnostics."""
        return {f"latency_{name}": found for name, found in self._found.items()}

    def __str__(self) -> str:
        return "\n".join(f"from a state to its command, {name}: {found}" for name, found in self._found.items())
