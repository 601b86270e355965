"""Keeps flights between tests: the next test continues the flight before, if that is still in the air without a fault."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from programs import Program
from rehearsal import GUIDE, HOLD, LOITER_MODE, NODES, OFFBOARD_MODE, OUTPUTS, SNN, Flight

HERE = Path(__file__).parent
PLAIN = ("plain", ("record:=true",), {})
ADAPTING = ("adapting", ("record:=true", "adapt:=true"), {})
LINK = ("link", ("record:=false",), {"tampered": True, "signed": True})
# At full noise crazyflie_real disagrees with the guide.
MOTORS = ("motors", ("record:=false", "link:=embedded"), {"craft": "crazyflie"})
HOME = (0.0, 0.0, 1.0)


class Hangar:
    """folders: gives a new folder for each flight."""

    def __init__(self, folders):
        self.folders, self.kind, self.current, self.unruly = folders, None, None, None
        self.canaries = [Program([sys.executable, HERE / "canary.py", cpu]) for cpu in os.sched_getaffinity(0)]

    def new(self, *arguments: str, **options) -> Flight:
        """A new flight of this kind, on the ground. The flight before it is ended."""
        self.close()
        self.current = Flight(self.folders(), *arguments, **options)
        return self.current

    def fly(self, kind=PLAIN, unruly: bool = False) -> Flight:
        """A flight of this kind with the policy engaged, near HOME. unruly: with a policy that a test controls."""
        name, arguments, options = kind
        if self.kind == name:
            try:
                self.restore(unruly)
                return self.current
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                print(f"a new flight, for the last one cannot go on: {error}")
        flight = self.new(*arguments, **options)
        flight.take_off()
        self.kind = name
        self.restore(unruly)
        return flight

    def restore(self, unruly: bool) -> None:
        flight = self.current
        assert flight.graph.process.poll() is None and flight.vehicle.process.poll() is None, "it has ended"
        if hasattr(flight, "link"):
            flight.link.tell("honest")
        wanted = {*OUTPUTS} - ({"snn_policy"} if unruly else set())
        wanted |= {"recorder"} if "record:=true" in flight.arguments else set()
        wanted |= {"adapter"} if "adapt:=true" in flight.arguments else set()
        for node in flight.nodes().values():
            os.kill(node.process, signal.SIGCONT)
        if not unruly and self.unruly is not None:
            self.unruly.kill()
            self.unruly = None
        self.end_strangers(flight)
        for name in sorted(wanted - set(flight.nodes())):
            flight.restart(name)
        if unruly and self.unruly is None:
            self.exchange_policy(flight)
        self.to_home(flight)

    def end_strangers(self, flight: Flight) -> None:
        for program in flight.others:
            if program not in (getattr(flight, "link", None), self.unruly) and program.process.poll() is None:
                program.kill()

    def exchange_policy(self, flight: Flight) -> None:
        if "snn_policy" in flight.nodes():
            flight.kill("snn_policy")
        command = (*flight.chrt(NODES), sys.executable, HERE / "unruly_policy.py", flight.model)
        self.unruly = flight.start(*command)
        flight.until(lambda: flight.publishers("policy/action") == ["unruly_policy"], 20, "one policy")

    def to_home(self, flight: Flight) -> None:
        """Engage the policy near HOME, with the pilot's help if needed."""
        flight.until(lambda: flight.station.truth and flight.station.mode is not None, 5, "no truth")
        assert flight.station.truth[-1].position[2] > 0.15, "it has landed"
        end = time.monotonic() + 40
        while flight.rung != SNN:
            assert time.monotonic() < end, f"not engaged: {flight.story()}"
            if flight.rung > HOLD:
                flight.station.set_mode(LOITER_MODE)
                flight.until(lambda: flight.station.mode == LOITER_MODE, 3, "the vehicle does not hold")
            if flight.rung > GUIDE:
                flight.ask_until_granted("guide", 20)
            flight.until(lambda: flight.rung != GUIDE or flight.station.mode == OFFBOARD_MODE, 5)
            flight.ask("engage")
            flight.until(lambda: flight.rung == SNN or not flight.status[-1].wanted, 12)
        flight.target(*HOME)
        flight.until(lambda: flight.rung == SNN and at_home(flight), 15, "not at home")
        flight.stays(SNN, 0.3)

    def held_up(self, since: float) -> list[str]:
        """Times at which a processor was held up since then (s, monotonic), by the canaries."""
        lines = [line.split() for canary in self.canaries for line in canary.lines]
        return [f"{1e3 * float(late):.0f} ms" for moment, late in lines if float(moment) >= since]

    def close(self) -> None:
        if self.current is not None:
            self.current.close()
        self.current = self.kind = self.unruly = None

    def end(self) -> None:
        self.close()
        for canary in self.canaries:
            canary.kill()


def at_home(flight: Flight) -> bool:
    assert time.monotonic() - flight.station.truth[-1].time < 2.0, "the truth is silent"
    away = max(abs(a - b) for a, b in zip(flight.state.position, HOME, strict=True))
    return away < 0.3 and max(map(abs, flight.state.velocity)) < 0.3
