"""The simulated vehicle on UDP: a loop between its sockets and its core. The clock is passed in."""

import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.simulated_px4.pace import Pace
from spike_ctrl.simulated_px4.plant import TICK
from spike_ctrl.simulated_px4.vehicle import ONBOARD, STATION, Packets, Vehicle

MAX_LAG = 0.1  # s of the clock: after a longer stall the vehicle's time does not catch up
LARGEST_DATAGRAM = 65535

Address = tuple[str, int]


class Port(NamedTuple):
    """One link: its socket, and the address that it sends to. Like PX4, the vehicle sends first."""

    socket: socket.socket
    remote: Address


def address(option: str, text: str, least: int = 1) -> Address:
    """From HOST:PORT, the host looked up. least: smallest port. Raises UsageError, which names the option."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not least <= int(port) <= 65535:
        raise UsageError(f"{option}: found '{text}', wanted HOST:PORT with a port of {least} to 65535")
    with refused(f"{option}: host '{host}' is not known"):
        return socket.gethostbyname(host), int(port)


def open_port(local: Address, remote: Address) -> Port:
    """A link from a local address (port 0: any free one). Raises UsageError where it cannot be bound."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        found.bind(local)
    except OSError as error:
        found.close()
        raise UsageError(f"address {local[0]}:{local[1]}: cannot be bound ({error.strerror})") from None
    found.setblocking(False)
    return Port(found, remote)


def open_ports(local: str | None, companion: str | None, station: str | None, instance: int) -> dict[str, Port]:
    """The links to the companion and, unless it is "none", to the ground station; each address is HOST:PORT.

    None stands for PX4's own: 127.0.0.1, ports moved on by the instance. Raises UsageError.
    """
    host, port = address("--local", local or f"127.0.0.1:{14580 + instance}", least=0)
    to = address("--connection", companion or f"127.0.0.1:{14540 + instance}")
    opened = {ONBOARD: open_port((host, port), to)}
    if station != "none":
        here = (host, 18570 + instance if port else 0)
        opened[STATION] = open_port(here, address("--station", station or "127.0.0.1:14550"))
    return opened


def serve(
    vehicle: Vehicle,
    ports: dict[str, Port],
    clock: Callable[[], float],
    stop: Callable[[], bool],
    say: Callable[[str], None],
    see: Callable[[Vehicle], None] = lambda vehicle: None,
    pace: Pace | None = None,
) -> None:
    """Fly until `stop()` is true.

    clock: gives seconds. say: takes lines for people, with modes and the autopilot's texts. see: called with the vehicle
    after each step. pace: the vehicle's time waits for commands; None: it is that of the clock.
    """
    begin, shown, heard = clock() - vehicle.now / vehicle.speed, "", 0
    with selectors.DefaultSelector() as selector:
        for name, port in ports.items():
            selector.register(port.socket, selectors.EVENT_READ, name)
        while not stop():
            now = (clock() - begin) * vehicle.speed
            due = vehicle.now + TICK <= now + 1e-9
            held = due and pace is not None and pace.holds(vehicle.shown, vehicle.answered, clock())
            if not held and now - vehicle.now > MAX_LAG * vehicle.speed:
                if pace is None:
                    say(f"{vehicle.now:.2f} s: held up for {(now - vehicle.now) / vehicle.speed:.2f} s")
                begin += (now - vehicle.now) / vehicle.speed
                now = vehicle.now
            if not held:
                _send(ports, vehicle.advance(now if pace is None else min(now, vehicle.now + TICK)))
                see(vehicle)
            for time, text in vehicle.said[heard:]:
                say(f"{time:.2f} s: {text}")
            heard = len(vehicle.said)
            state = f"{'armed' if vehicle.commander.armed else 'disarmed'}, {vehicle.commander.mode.name}"
            if state != shown:
                say(f"{vehicle.now:.2f} s: {state}")
                shown = state
            wait = pace.left(clock()) if held and pace else begin + (vehicle.now + TICK) / vehicle.speed - clock()
            for key, _ in selector.select(max(0.0, wait)):
                for data in _datagrams(ports[key.data].socket):
                    # A command that was waited for is not late in the vehicle's time.
                    arrived = vehicle.now if pace else max(vehicle.now, (clock() - begin) * vehicle.speed)
                    _send(ports, vehicle.receive(key.data, data, arrived))


def summary(vehicle: Vehicle) -> str:
    """One line about the flight, from the true states."""
    x, y, z = vehicle.truth.position
    return (
        f"{vehicle.now:.1f} s; at east {x:.2f} north {y:.2f} up {z:.2f} m; farthest {vehicle.farthest:.2f} m from the start"
        f"; hardest touchdown {vehicle.plant.hardest_touchdown:.2f} m/s"
    )


def _send(ports: dict[str, Port], packets: Packets) -> None:
    for name, data in packets:
        if name in ports:
            # The other end may not listen yet, or the buffer may be full: UDP may lose packets.
            with suppress(BlockingIOError, ConnectionRefusedError):
                ports[name].socket.sendto(data, ports[name].remote)


def _datagrams(found: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield found.recv(LARGEST_DATAGRAM)
        except (BlockingIOError, ConnectionRefusedError):
            return
