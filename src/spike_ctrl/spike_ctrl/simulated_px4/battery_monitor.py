"""The simulated battery: it drains while armed and is full again when disarmed, as in PX4's simulator.

Where the airframe has a battery of its own, that one is measured instead: it weakens the rotors, and nothing fills it.
"""

from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters

CELLS, EMPTY, FULL = 4, 3.5, 4.05  # number, V per cell


class Battery:
    """working: where False, neither charge nor voltage is known."""

    def __init__(self) -> None:
        self.working = True
        self._charge = 1.0
        self._measured: tuple[float, float] | None = None

    def measure(self, charge: float, voltage: float) -> None:
        """Charge (0..1) and voltage (V) of the airframe's own battery."""
        self._measured = charge, voltage

    def advance(self, armed: bool, parameters: AutopilotParameters, dt: float) -> None:
        """One tick of `dt` (s)."""
        if not armed:
            self._charge = 1.0
        elif parameters["SIM_BAT_DRAIN"] > 0:
            lowest = min(1.0, max(0.0, parameters["SIM_BAT_MIN_PCT"] / 100))
            self._charge = max(lowest, self._charge - dt / parameters["SIM_BAT_DRAIN"])

    @property
    def charge(self) -> float | None:
        """Remaining charge, 0..1."""
        if not self.working:
            return None
        return self._measured[0] if self._measured else self._charge

    @property
    def voltage(self) -> float | None:
        """Voltage (V) of all cells."""
        if not self.working:
            return None
        return self._measured[1] if self._measured else CELLS * (EMPTY + self._charge * (FULL - EMPTY))
