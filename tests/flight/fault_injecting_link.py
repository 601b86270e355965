"""A link between vehicle and bridge. It passes everything on until a line on stdin tells it to tamper with the states.

Usage: fault_injecting_link.py TO_BRIDGE_PORT FROM_VEHICLE_PORT [KEY_FILE]

honest          as they come
drop            no state passes
late            all comes in bursts, up to 45 ms later than it would
late once       the next state comes 20 to 30 ms later, and what comes until then waits behind it
slow WAY S      all packets of that way, states, commands or both, come S seconds later
nan             the position's north is NaN
future, past    stamps are a second ahead; ten seconds back
noise           everything passes, and with it random bytes, damaged, unsigned, wrongly signed and replayed packets
"""

import random
import selectors
import socket
import sys
import time
from pathlib import Path

from pymavlink.dialects.v20 import development as mavlink

ODOMETRY = mavlink.MAVLINK_MSG_ID_ODOMETRY
LOITER = 0x03040000
BURST, ONCE = 0.045, (0.02, 0.03)  # s; with the period of the states, none gets older than the policy's limit
SINCE_2015 = 1420070400


class Forger:
    """Packs packets as the vehicle would. With a key it signs them on a link of its own."""

    def __init__(self, key: bytes | None, link: int = 7):
        self.codec = mavlink.MAVLink(None, 1, 1)
        self.reader = mavlink.MAVLink(None)
        if key is not None:
            self.codec.signing.secret_key = key
            self.codec.signing.sign_outgoing = True
            self.codec.signing.link_id = link

    def pack(self, message) -> bytes:
        self.codec.signing.timestamp = int((time.time() - SINCE_2015) * 1e5)
        return bytes(message.pack(self.codec))

    def changed(self, data: bytes, **fields) -> bytes:
        message = self.reader.decode(bytearray(data))
        return self.pack(mavlink.MAVLink_odometry_message(*(fields.get(n, getattr(message, n)) for n in message.fieldnames)))


def number(data: bytes) -> int:
    return int.from_bytes(data[7:10], "little") if len(data) > 10 and data[0] == 0xFD else -1


def slowed(manner: str) -> tuple[tuple[str, ...], float]:
    """The ways of packets that are slow, and by how much (s)."""
    if not manner.startswith("slow"):
        return (), 0.0
    _, way, seconds = manner.split()
    return ("states", "commands") if way == "both" else (way,), float(seconds)


def main():
    bridge, port = ("127.0.0.1", int(sys.argv[1])), int(sys.argv[2])
    key = Path(sys.argv[3]).read_bytes() if len(sys.argv) > 3 else None
    honest, thief, stranger = Forger(key), Forger(bytes(32)), Forger(None)
    towards_vehicle, towards_bridge = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    towards_vehicle.bind(("127.0.0.1", port))
    manner, vehicle, held, kept, heard, dice = "honest", None, [], [], [], random.Random(0)
    selector = selectors.DefaultSelector()
    for file in (towards_vehicle, towards_bridge, sys.stdin):
        selector.register(file, selectors.EVENT_READ)
    print("ready", flush=True)
    next_noise = 0.0
    while True:
        now = time.monotonic()
        held, due = [one for one in held if one[0] > now], [one for one in held if one[0] <= now]
        for _, data in due:
            towards_bridge.sendto(data, bridge)
        while kept and kept[0][0] <= now:  # of the commands
            towards_vehicle.sendto(kept.pop(0)[1], vehicle)
        if manner == "noise" and now >= next_noise:
            next_noise = now + 0.005
            lie = mavlink.MAVLink_heartbeat_message(2, 12, 129, LOITER, 4, 3)
            damaged = bytearray(dice.choice(heard) if heard else b"\xfd")
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
            forged = [stranger.pack(lie), thief.pack(lie), bytes(damaged), dice.randbytes(dice.randrange(1, 300))]
            if heard:
                forged.append(dice.choice(heard))
            towards_bridge.sendto(dice.choice(forged), bridge)
        wait = min([0.005] if manner == "noise" else [1.0], default=1.0)
        wait = min([wait, *(max(0.0, moment - now) for moment, _ in held + kept)])
        for selected, _ in selector.select(wait):
            slow, seconds = slowed(manner)
            if selected.fileobj is sys.stdin:
                if not (line := sys.stdin.readline()):
                    return
                manner = line.strip()
                print(manner, flush=True)
            elif selected.fileobj is towards_bridge:
                data = towards_bridge.recv(65535)
                if vehicle is not None and (kept or "commands" in slow):
                    moment = time.monotonic() + (seconds if "commands" in slow else 0.0)
                    kept.append((max([moment, *(m for m, _ in kept)]), data))
                elif vehicle is not None:
                    towards_vehicle.sendto(data, vehicle)
            else:
                data, vehicle = towards_vehicle.recvfrom(65535)
                if "states" in slow:
                    held.append((time.monotonic() + seconds, data))
                elif manner.startswith("late"):  # all of it: of a signed link an overtaken packet is dropped as replayed
                    now = time.monotonic()
                    moment = (now // BURST + 1) * BURST if manner == "late" else now + dice.uniform(*ONCE)
                    moment = max([moment, *(m for m, _ in held)])
                    held.append((moment, data))
                    if manner == "late once" and number(data) == ODOMETRY:
                        manner = "honest"
                elif held or number(data) != ODOMETRY or manner in ("honest", "noise") or slow:
                    heard = [*heard[-50:], data]
                    if held:
                        held.append((held[-1][0], data))
                    else:
                        towards_bridge.sendto(data, bridge)
                elif manner != "drop":
                    stamp = honest.reader.decode(bytearray(data)).time_usec
                    change = {"nan": {"x": float("nan")}, "future": {"time_usec": stamp + 1_000_000},
                              "past": {"time_usec": max(stamp - 10_000_000, 0)}}[manner]  # fmt: skip
                    towards_bridge.sendto(honest.changed(data, **change), bridge)


main()
