"""Settings of the simulated vehicle as a process of its own: options of `spike-ctrl vehicle`, arguments of launch files."""

from __future__ import annotations

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class VehicleSettings:
    instance: int = within(0, 0, 99, "Its number among several; moves ports and MAV_SYS_ID.")
    speed: float = within(1.0, 0.1, 20, "Seconds of its time per second of the clock.")
    seed: int = within(0, 0, 2**32 - 1, "Seed of its sensor noise.")
    noise: float = within(1.0, 0, 10, "Its sensor noise, as a multiple of that of PX4's simulation.")
    sensors: str = setting(
        "", "Recipe whose sensors' errors its estimate has in addition to the noise, such as real; empty: none."
    )
    latency: float = within(0.0, 0, 1, "Delay of the commands to it.", "s")
    mass: float = within(1.0, 0.1, 10, "Factor on its mass, unknown to guide and policy.")
    thrust: float = within(1.0, 0.1, 10, "Factor on its rotors' thrust.")
    lag: float = within(1.0, 0.1, 10, "Factor on the lag of its motors and rate loop.")
    fault: str = setting(
        "",
        "rotor:NUMBER:PERCENT[:SECONDS]: so long in the air (12 s), this rotor (from 1 on, clockwise from front-right) "
        "loses so much of its thrust; empty: nothing fails.",
    )
    truth: str = setting("", "CSV file for its true states; empty: none.")
    priority: int = within(0, 0, 99, "Priority under SCHED_FIFO; 0: the ordinary scheduler.")
