"""A real Crazyflie as it was identified: how its plants differ, and how its sensors err."""

from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import SensorSettings

SENSORS = SensorSettings(
    position=0.015, position_time=0.35, velocity=0.049, velocity_time=0.4, vertical=0.45, attitude=0.018, attitude_time=0.8,
    attitude_bias=0.0125, gyro=0.045, gyro_yaw=0.007, delay=0.04, voltage=0.02,
)  # fmt: skip
"""A Crazyflie's estimator against motion capture, measured on 78 flights of NanoBench (Ullah, Baca 2026).

The voltage in their logs has less than 1 mV of white noise; 20 mV stand for what the model of its sag misses.
"""

SPREAD = Randomisation(
    inertia=0.06, thrust=0.03, torque=0.2, lag=0.07, moment=4e-4, moment_z=0.03, body_drag=0.12, velocity_moment=0.07,
    dead_time=0.01, charge_low=0.52, charge_high=1.0, sensors=SENSORS,
)  # fmt: skip
"""The identified 95 % intervals, the trims of the flights, and SENSORS."""
