"""One flight of a Crazyflie whose app holds the policy: take-off by the firmware, the policy, trajectories, landing.

The firmware's own commander takes off and lands, with its PID controller. The policy is enabled in a hover and flies the
set-points that are streamed. Whatever goes wrong, the policy is disabled and the vehicle lands; without a link the
firmware's own watchdog levels it, and switches its motors off.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl_crazyflie import radio_checks
from spike_ctrl_crazyflie.radio_checks import RadioLimits
from spike_ctrl_crazyflie.radio_log import BLOCKS, RadioLog

OFF, SHADOW, COMMAND, FAULT = range(4)  # snn.phase
FAULTS = ("none", "deadline", "not finite", "tilt", "rate", "distance", "disagreement")  # snn.fault
STREAM = 0.02  # s between set-points
CLIMB, DESCENT = 2.5, 3.0  # s
SETTLE, CONVERGE, ENGAGE = 1.5, 15.0, 4.0  # s: hover before the policy; longest wait for the estimator, and for the policy
LANDED = 0.06  # m above the ground, to which the firmware's commander descends


class RadioFlightError(Exception):
    """The flight did not begin, or ended early; one line that says why."""


class OnboardFlight:
    """A flight over a connected vehicle, an object with the interface of `cflib.crazyflie.Crazyflie`.

    log_config: makes a log block, `cflib.crazyflie.log.LogConfig`. clock, sleep: seconds. stopped: whether the user wants an
    end. say: takes lines for the user.
    """

    def __init__(
        self,
        vehicle: Any,
        log_config: Callable[[str, int], Any],
        limits: RadioLimits,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        stopped: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self.vehicle, self.limits, self.log = vehicle, limits, RadioLog()
        self._log_config, self._clock, self._sleep, self._stopped, self._say = log_config, clock, sleep, stopped, say
        self._configs: list[Any] = []
        self._heard = -math.inf  # s, when the app last told its phase
        self._weak_since: float | None = None
        self._lost: str | None = None

    def prepare(self, weights: int) -> None:
        """Check what bars a take-off, start the logs, and wait for the estimator. Raises RadioFlightError."""
        params, logs = self.vehicle.param.toc.toc, self.vehicle.log.toc.toc
        self._refuse(radio_checks.missing(params, logs))
        self.vehicle.connection_lost.add_callback(self._on_lost)
        self.set("snn.enable", 0)
        self._start_logs()
        self._wait(lambda: self.log.last("pm.vbat") is not None, 2.0, "the vehicle logs nothing")
        decks = [deck for deck in radio_checks.POSITIONING if self._mounted(deck)]
        voltage, found = self.log.last("pm.vbat"), int(self.vehicle.param.get_value("snn.weights"))
        self._refuse(radio_checks.unmet(voltage or 0.0, decks, found, weights, self.limits))
        self._say(
            f"battery {voltage:.2f} V; {', '.join(radio_checks.POSITIONING[deck] for deck in decks)}; weights {found:08x}"
        )
        self.set("stabilizer.estimator", radio_checks.KALMAN)
        self.set("stabilizer.controller", radio_checks.OUT_OF_TREE)
        self.set("kalman.resetEstimation", 1)
        self._sleep(0.1)
        self.set("kalman.resetEstimation", 0)
        self._wait(self._converged, CONVERGE, "the position estimate does not converge: check the positioning system")

    def fly(self, height: float, paths: Sequence[tuple[Trajectory, float]], here: Callable[[], SetPoint]) -> None:
        """Take off to `height` (m), fly each path for so many seconds, and land. Raises RadioFlightError after landing.

        here: the set-point at which the policy takes over, asked when the vehicle hovers.
        """
        self.vehicle.platform.send_arming_request(True)
        self._sleep(1.0)
        failure = None
        try:
            self.vehicle.high_level_commander.takeoff(height, CLIMB)
            self._rest(CLIMB + SETTLE)
            hover = here()
            self.set("snn.enable", 1)
            begun = self._clock()
            while self.log.last("snn.phase") != COMMAND:
                self._stream(hover)
                if self._clock() - begun > ENGAGE:
                    raise RadioFlightError(f"the policy did not take over within {ENGAGE:g} s: {self._fault()}")
            self._say("the policy flies")
            for path, seconds in paths:
                self._say(f"trajectory {path.name} for {seconds:g} s")
                begun = self._clock()
                while (since := self._clock() - begun) < seconds:
                    self._stream(path.at(since))
        except RadioFlightError as error:
            failure = error
        self._land()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Stop the logs."""
        for config in self._configs:
            config.stop()
        self._configs = []

    def set(self, name: str, value: int) -> None:
        """Set a parameter of the firmware."""
        self.vehicle.param.set_value(name, value)

    # --- parts of a flight ------------------------------------------------------------------------------------------

    def _stream(self, point: SetPoint) -> None:
        """One set-point, and what must hold while it is flown."""
        self.vehicle.commander.send_position_setpoint(*point.position, math.degrees(point.yaw))
        self._sleep(STREAM)
        self._watch()

    def _rest(self, seconds: float) -> None:
        end = self._clock() + seconds
        while self._clock() < end:
            self._sleep(STREAM)
            self._watch()

    def _watch(self) -> None:
        """Raises RadioFlightError where the flight must end."""
        now = self._clock()
        if self._lost is not None:
            raise RadioFlightError(f"link lost: {self._lost}; the firmware's own watchdog levels the vehicle")
        if self._stopped():
            raise RadioFlightError("the user asked for an end")
        if self.log.last("snn.phase") == FAULT:
            raise RadioFlightError(f"the app's guard took over: {self._fault()}")
        if now - self._heard > self.limits.silence:
            raise RadioFlightError(f"no log of the app for {self.limits.silence:g} s")
        weak = (self.log.last("pm.vbat") or 0.0) < self.limits.voltage_in_flight
        self._weak_since = (now if self._weak_since is None else self._weak_since) if weak else None
        if self._weak_since is not None and now - self._weak_since > self.limits.sagging:
            raise RadioFlightError(f"battery: below {self.limits.voltage_in_flight:g} V for {self.limits.sagging:g} s")

    def _land(self) -> None:
        """By the firmware's commander and PID controller, also after a fault."""
        if self._lost is not None:
            return
        self.set("snn.enable", 0)
        self.vehicle.commander.send_notify_setpoint_stop()
        self.vehicle.high_level_commander.land(LANDED, DESCENT)
        self._say("lands")
        self._sleep(DESCENT + 1.0)
        self.vehicle.high_level_commander.stop()

    def _fault(self) -> str:
        number = int(self.log.last("snn.fault") or 0)
        return f"snn.fault {number}, {FAULTS[number] if number < len(FAULTS) else 'unknown'}"

    # --- logs and parameters ----------------------------------------------------------------------------------------

    def _start_logs(self) -> None:
        for block in BLOCKS:
            config = self._log_config(block.name, block.period)
            for name, kind in block.variables:
                config.add_variable(name, kind)

            def take(milliseconds: int, values: dict[str, float], _: Any, block: Any = block) -> None:
                self.log.take(block, milliseconds, values)
                if block.name == "app":
                    self._heard = self._clock()

            try:
                self.vehicle.log.add_config(config)
            except (KeyError, AttributeError) as error:
                raise RadioFlightError(f"log block {block.name}: refused by the firmware ({error})") from None
            config.data_received_cb.add_callback(take)
            config.start()
            self._configs.append(config)

    def _converged(self) -> bool:
        """Whether the variances of the position have not moved by more than the limit for a second."""
        rows = self.log.rows["spread"][-10:]
        spans = (
            [max(column) - min(column) for column in list(zip(*rows, strict=True))[1:]] if len(rows) == 10 else [math.inf]
        )
        return max(spans) < self.limits.variance

    def _mounted(self, deck: str) -> bool:
        if deck not in self.vehicle.param.toc.toc.get("deck", ()):
            return False
        return int(self.vehicle.param.get_value(f"deck.{deck}")) != 0

    def _on_lost(self, uri: str, why: str) -> None:
        self._lost = why

    def _wait(self, ready: Callable[[], bool], seconds: float, otherwise: str) -> None:
        end = self._clock() + seconds
        while not ready():
            if self._stopped():
                raise RadioFlightError("the user asked for an end")
            if self._clock() > end:
                raise RadioFlightError(f"after {seconds:g} s: {otherwise}")
            self._sleep(STREAM)

    @staticmethod
    def _refuse(reasons: Sequence[str]) -> None:
        if reasons:
            raise RadioFlightError("refused to fly: " + "; ".join(reasons))
