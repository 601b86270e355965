"""How an autopilot is reached, as node parameters, launch arguments and options of `spike-ctrl preflight`."""

from __future__ import annotations

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class LinkOptions:
    connection: str = setting("udpin:127.0.0.1:14540", "Autopilot: udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD.")
    system: int = within(1, 1, 255, "The autopilot's MAV_SYS_ID: PX4's simulation number N has N + 1.")
    signing_key: str = setting("", "File with the key of a signed link (MAVLink 2); empty: not signed.")
