"""The simulated battery: it drains while armed and is full again when disarmed, as in PX4's simulator."""

from __future__ import annotations

from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters

CELLS, EMPTY, FULL = 4, 3.5, 4.05  # number, V per cell


class Battery:
    """working: where False, neither charge nor voltage is known."""

    def __init__(self):
        self.working = True
        self._charge = 1.0

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
        return self._charge if self.working else None

    @property
    def voltage(self) -> float | None:
        """Voltage (V) of all cells."""
        return CELLS * (EMPTY + self._charge * (FULL - EMPTY)) if self.working else None
