"""Ends the mode when the bridge dies or stops; a process of its own, because PX4 would fly the last set-point for 1.2 s.

    python -m spike_ctrl_uxrce.mode_guard DESCRIPTOR PATIENCE

The bridge writes a line to its stdin every 20 ms: "HOST PORT PACKET" while PX4 flies in the mode, else an empty one. PACKET
(hexadecimal) asks PX4 to land or hold. It is sent through the bridge's own socket or serial line DESCRIPTOR when the lines
stop for PATIENCE (s), and when the bridge has ended. Nothing slow is imported here.
"""

import os
import select
import socket
import stat
import sys
import time
from typing import NamedTuple

TIMES, PAUSE = 3, 0.05  # the packet of a bridge that has ended is sent so often: one may be lost; s between two


class LastWord(NamedTuple):
    """What PX4 is to hear, and where it is; a serial line needs no place."""

    place: tuple[str, int]
    packet: bytes


def parse(line: bytes) -> LastWord | None:
    """The last word in a line; None for an empty one."""
    if not line:
        return None
    host, port, packet = line.decode().split(" ")
    return LastWord((host, int(port)), bytes.fromhex(packet))


def written(word: LastWord | None) -> bytes:
    """The line for it."""
    return b"\n" if word is None else f"{word.place[0]} {word.place[1]} {word.packet.hex()}\n".encode()


def send(descriptor: int, word: LastWord) -> None:
    """Send it through a socket or a serial line. Bytes that the system cannot take are lost."""
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as found:
                found.sendto(word.packet, word.place)
        else:
            os.write(descriptor, word.packet)
    except OSError:
        pass


def guard(lines: int, descriptor: int, patience: float) -> None:
    """Read lines from this file descriptor until the bridge closes it."""
    word, rest = None, b""
    while True:
        if not select.select([lines], [], [], patience)[0]:
            if word is not None:
                send(descriptor, word)
            continue
        if not (data := os.read(lines, 65536)):
            break
        *whole, rest = (rest + data).split(b"\n")
        if whole:
            word = parse(whole[-1])
    if word is not None:
        for _ in range(TIMES):
            send(descriptor, word)
            time.sleep(PAUSE)


if __name__ == "__main__":
    guard(sys.stdin.fileno(), int(sys.argv[1]), float(sys.argv[2]))
