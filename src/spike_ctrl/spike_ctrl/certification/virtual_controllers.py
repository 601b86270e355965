"""Guide and policy in virtual time, as their nodes run them: what they see, what they answer, and how long they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.certification.signal_injection import OF_ANSWERS, SignalInjection
from spike_ctrl.control.lost_rotor import told_rotors
from spike_ctrl.flight.answer_checks import Answer, Identity
from spike_ctrl.flight.command_choice import Command, CommandedBy
from spike_ctrl.flight.rotor_check import ToldRotors
from spike_ctrl.policy.command_telling import Commanded
from spike_ctrl.policy.pilot import Flown, Pilot

if TYPE_CHECKING:
    from spike_ctrl.certification.flight_core import FlightCore

GUIDE_TIME, POLICY_TIME = (5e-4, 2e-3), (1e-3, 3e-3)  # s until they have answered
WARM_UP, SKIP, MAX_AGE = 50, 2, 0.1  # of the policy's node
GUIDE, BEGINS = Identity("guide", 0), (np.array([False]), np.array([True]))
ShownState = tuple[int, Floats, bool, bool]  # tick, observation, whether it begins an episode, whether the guide flies


class VirtualControllers:
    """Both controllers of one flight. Their answers reach its supervisor."""

    def __init__(self, flight: FlightCore) -> None:
        self.flight, self.guide_state = flight, flight.who.guide.initial_state(1)
        who, struck = flight.who, flight.scenario.struck
        self.faults = {name: [SignalInjection(fault, OF_ANSWERS) for fault in struck(name)] for name in ("policy", "guide")}
        self.pilot = Pilot(WARM_UP, MAX_AGE, SKIP, judged=True)
        self.pilot.flown = Flown(who.name, who.policy, 0, flight.settings.state.period)
        self._commanded: Commanded | None = None  # what a policy is told
        self._rotors: dict[str, Floats] = {}  # what the guide is told, where one is lost
        self._waiting: dict[str, ShownState | None] = {"policy": None, "guide": None}  # states for whoever sleeps

    def trim_guide(self) -> None:
        """Let the guide have integrated what holds the vehicle in the scenario's wind."""
        (x, y, z), (mass, thrust, _) = self.flight.scenario.wind, self.flight.scenario.factors
        self.guide_state[0, :3] = -y, x, GRAVITY * (mass / thrust - 1) - z  # in the set-point's heading, north

    def hear_command(self, command: Command) -> None:
        """What was flown, for a policy that is told."""
        by = command.identity if command.commander is CommandedBy.POLICY else None
        self._commanded = Commanded(command.tick, np.array([command.action], np.float32), by)

    def hear_rotors(self, rotors: ToldRotors) -> None:
        """What a guide with a lost rotor is told; or that all are whole."""
        self._rotors = told_rotors(np.array(rotors))

    def show(self, at: float, state: ShownState) -> None:
        """Show a state at a time (s). Who sleeps sees only the newest when it wakes.

        Where both are well, their answers reach the supervisor together: two steps of it would be twice the work.
        """
        wakes, clock = self.flight.processes.wakes, self.flight.clock
        awake = [name for name in ("guide", "policy") if wakes(name, at) <= at]
        if awake:
            clock.at(at, self._answer, tuple(awake), state)
        for name in self._waiting:
            if name in awake:
                continue
            if self._waiting[name] is None:
                clock.at(wakes(name, at), self._answer_waiting, name)
            self._waiting[name] = state

    def _answer_waiting(self, name: str) -> None:
        state, self._waiting[name] = self._waiting[name], None
        if state is not None:
            self._answer((name,), state)

    def _answer(self, names: tuple[str, ...], state: ShownState) -> None:
        flight, clock = self.flight, self.flight.clock
        now = clock.now
        found = {name: answer for name in names if (answer := self._compute(name, state)) is not None}
        if "policy" in names and (shadow := self.pilot.candidate_answer) is not None:
            (a, b, c, d), who = shadow.action[0].tolist(), Identity(shadow.flown.name, shadow.flown.epoch)
            found["candidate"] = Answer(state[0], now, (a, b, c, d), flight.settings.layout, who, shadow.spike_rate)
        for name in names if flight.processes.slow else ():
            if (late := flight.processes.extra(name, now)) and name in found:
                clock.at(now + late, flight.tell_supervisor, {name: found.pop(name)})
        if found:
            taken = flight.between(POLICY_TIME if "policy" in found else GUIDE_TIME)
            clock.at(now + taken, flight.tell_supervisor, found)

    def _compute(self, name: str, state: ShownState) -> Answer | None:
        tick, seen, first, guided = state
        flight, now = self.flight, self.flight.clock.now
        rates: tuple[float, ...]
        if name == "guide":
            guide = flight.who.guide
            memory = guide.initial_state(1) if first else self.guide_state
            action, after = guide.act(seen[None], memory, **self._rotors)
            self.guide_state = after if guided else memory
            rates, who = (), GUIDE
        else:
            begins, heard, voltage = BEGINS[first], self._commanded, flight.vehicle.battery.voltage
            found = self.pilot.step(tick, begins, seen[None], lockstep=False, now=now, voltage=voltage, commanded=heard)
            self.pilot.fly_shadows()
            flown = self.pilot.flown
            if not found.commands or found.action is None or flown is None:
                return None
            action, who = found.action, Identity(flown.name, flown.epoch)
            rates = flown.policy.spike_rates(self.pilot.state)
        numbers = tuple(action[0].tolist())
        for injection in self.faults[name]:
            numbers = injection(numbers, now)
        answer = Answer(tick, now, numbers, flight.settings.layout, who, tuple(rates))
        if flight.record is not None:
            flight.record.answer(now, answer)
        return answer
