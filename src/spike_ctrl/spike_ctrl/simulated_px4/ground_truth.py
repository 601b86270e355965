"""The true states of a simulated vehicle as a CSV file, at the times of its ODOMETRY."""

from pathlib import Path

from spike_ctrl._files.errors import refused
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.simulated_px4.vehicle import Vehicle

COLUMNS = ("time", "x", "y", "z", "qx", "qy", "qz", "qw", "vx", "vy", "vz", "p", "q", "r")
INTERVAL = 0.0075  # s between two rows, at least: every second tick


class Log:
    """Writes a row at most every INTERVAL seconds. Raises UsageError."""

    def __init__(self, path: Path):
        with refused(f"--truth {path}: cannot be written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", buffering=1)  # whole lines, for who reads along
        self._file.write(",".join(COLUMNS) + "\n")
        self._seen = -INTERVAL

    def see(self, vehicle: Vehicle) -> None:
        """Write the vehicle's true state."""
        true = vehicle.truth
        self.row(vehicle.now, true.position, true.quaternion, true.velocity, true.rates)

    def row(self, now: float, position: Vector, quaternion: Quaternion, velocity: Vector, rates: Vector) -> bool:
        """Write one state. False where the last row is younger than INTERVAL."""
        if now - self._seen < INTERVAL:
            return False
        self._seen = now
        numbers = (now, *position, *quaternion, *velocity, *rates)
        self._file.write(",".join(f"{number:.5f}" for number in numbers) + "\n")
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
