"""The simulation on TCP: PX4 connects, and both ends run in lockstep. The clock is passed in.

tcp:PORT or tcp:HOST:PORT      PX4's instance N connects to 4560 + N
"""

import select
import socket
from collections.abc import Callable
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl_sitl.px4_hil.simulation import Simulation, SimulationError

LARGEST_READ = 65536
LOOK = 0.1  # s between calls of `stop`


class LockstepPace(NamedTuple):
    """speed: factor of the simulation's time; 0: as fast as PX4 answers. patience: longest wait for an answer, s."""

    speed: float = 1.0
    patience: float = 5.0


def listen(text: str, instance: int = 0) -> socket.socket:
    """Listen at tcp:PORT or tcp:HOST:PORT, at the port plus `instance`; port 0: any free one. Raises UsageError."""
    kind, _, place = text.partition(":")
    host, _, port = place.rpartition(":")
    if kind != "tcp" or not port.isdecimal() or int(port) + instance > 65535:
        raise UsageError(f"--px4-hil: found '{text}', wanted tcp:PORT or tcp:HOST:PORT, such as tcp:4560")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    number = int(port) + instance if int(port) else 0
    try:
        found.bind((host or "127.0.0.1", number))
        found.listen(1)
    except OSError as error:
        found.close()
        raise UsageError(f"--px4-hil {text}: cannot listen at port {number} ({error.strerror})") from None
    return found


def accept(listener: socket.socket, stop: Callable[[], bool]) -> socket.socket | None:
    """PX4's connection; None where `stop()` became true before."""
    while not stop():
        if select.select([listener], [], [], LOOK)[0]:
            found, _ = listener.accept()
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return found
    return None


def serve(
    simulation: Simulation,
    connection: socket.socket,
    clock: Callable[[], float],
    pace: LockstepPace,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> None:
    """Simulate until `stop()` is true. clock: gives seconds. say: takes lines for people.

    Until PX4's first answer its startup script runs; in this time the simulation is at least as fast as the clock. Raises
    SimulationError where PX4 closes the connection, stops answering, or is not built for lockstep.
    """
    begin, armed, begun, failed = clock(), False, False, False
    while not stop():
        _hear(simulation, connection, 0.0)
        _answer(simulation, connection, clock, pace, stop)
        if simulation.begun and not begun:
            begun = True
            say(f"{simulation.now:.2f} s: PX4's controllers run; in lockstep from here")
        if simulation.armed != armed:
            armed = simulation.armed
            say(f"{simulation.now:.2f} s: {'armed' if armed else 'disarmed'}")
        if simulation.failed and not failed:
            failed = True
            say(f"{simulation.now:.2f} s: {simulation.failure}")
        speed = pace.speed if begun else max(pace.speed, 1.0)
        if speed:
            due = begin + simulation.now / speed
            if (late := clock() - due) > LOOK:  # after a stall the simulation does not catch up
                begin += late
            while (left := due - clock()) > 0 and not stop():
                _hear(simulation, connection, min(left, LOOK))
        try:
            connection.sendall(simulation.advance())
        except OSError as error:
            raise SimulationError(_closed(simulation, error.strerror)) from None


def summary(simulation: Simulation, seconds: float) -> str:
    """One line on the flight, from the truth; seconds: of the clock, that it took."""
    (x, y, z), hardest = simulation.body.motion.position, simulation.body.hardest_touchdown
    factor = simulation.now / max(seconds, 1e-9)
    return (
        f"{simulation.now:.1f} s, {factor:.1f} times as fast as the clock; at east {x:.2f} north {y:.2f} up {z:.2f} m;"
        f" farthest {simulation.farthest:.2f} m from the start; hardest touchdown {hardest:.2f} m/s"
    )


def _answer(simulation: Simulation, connection: socket.socket, clock, pace: LockstepPace, stop) -> None:
    """Wait for PX4's answer to the last sample."""
    asked = clock()
    while simulation.waiting and not stop():
        _hear(simulation, connection, LOOK)
        if simulation.waiting and clock() - asked > pace.patience:
            raise SimulationError(
                f"PX4 has not answered the HIL_SENSOR of {simulation.now:.3f} s for {pace.patience:g} s: it has stopped, or"
                f" its rate controller leaves samples out (IMU_GYRO_RATEMAX is to be {simulation.rate:g} or more)"
            )


def _hear(simulation: Simulation, connection: socket.socket, timeout: float) -> None:
    """Take the bytes that come within `timeout` (s)."""
    if not select.select([connection], [], [], timeout)[0]:
        return
    try:
        data = connection.recv(LARGEST_READ)
    except OSError as error:
        raise SimulationError(_closed(simulation, error.strerror)) from None
    if not data:
        raise SimulationError(_closed(simulation, "end of the stream"))
    simulation.receive(data)


def _closed(simulation: Simulation, why: str) -> str:
    return f"PX4 closed the connection at {simulation.now:.2f} s ({why})"
