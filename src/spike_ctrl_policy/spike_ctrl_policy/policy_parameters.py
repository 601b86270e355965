"""Parameters of snn_policy. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl import plug_ins
from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class PolicyParameters:
    airframe: str = setting("crazyflie", "The vehicle that every checkpoint must have been trained for.")
    model: str = setting("", "Checkpoint of the policy; empty: wait for the learner's.")
    trajectory: str = setting("", "Trajectory of the flight, for a policy that sees more of it than a set-point.")
    allowed_models: str = setting("", "List of the sha256 of files that may fly (sha256sum MODEL >> LIST); empty: any.")
    warm_up: int = within(50, 0, 100_000, "Steps that a policy flies in shadow before it commands.")
    realtime: bool = setting(False, "States come at the rate of the checkpoint; after a pause the last is too old.")
    max_age: float = setting(0.1, "In real time: age at which the last state is too old to go on from.", low=0.01, unit="s")
    runtime: str = setting(
        "numba", "What steps one vehicle in real time.", choices=("numba", "numpy", *plug_ins.names("policy_runtimes"))
    )
    hardware: str = setting("", "Where the hardware of a runtime is, such as a serial port; numba and numpy have none.")
    flight: bool = setting(False, "One vehicle in real time, whose supervisor compares, commands and ends first.")
    paced: bool = setting(False, "In flight: the time is that of the states, whose vehicle waits; false: the computer's.")
    tell_commands: bool = setting(
        False, "In shadow mode the commands of others are the input of a policy whose checkpoint says learns_plant."
    )
    autostart: bool = setting(True, "Configure and activate without being asked.")
