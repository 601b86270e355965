"""Flights of an airframe with battery, trim and noise, as motion capture and an on-board log would show them."""

import dataclasses

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.airframe import BatteryModel
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates
from spike_ctrl_identify.observed_flight import ObservedFlight

CRAZYFLIE = airframe.load("crazyflie")
TRUTH = dataclasses.replace(
    CRAZYFLIE,
    inertia=(1.6e-5, 1.75e-5, 2.005e-5),
    thrust_curve=(0.0, 0.02, 0.075),
    torque_per_thrust=6e-3,
    lag_up=0.03,
    lag_down=0.03,
    dead_time=0.015,
    body_drag=(0.011, 0.012, 0.009),
    velocity_moment=(2.6e-4, 3.0e-4),
    angular_drag=6e-5,
    battery=BatteryModel(full=4.2, empty=3.0, nominal=3.7, sag=0.5, sag_time=0.2, endurance=250.0, exponent=0.7),
)
STILL = InitialStates(at_target=1.0, rotors_low=0.6, rotors_high=0.6)
NOISE = np.repeat([5e-4, 1e-3, 2e-3, 0.03], (3, 4, 3, 3))  # m, 1, m/s, rad/s


def simulate(
    truth=TRUTH, name="flight", trim=(0.0, 0.0, 0.0), charge=0.9, seconds=35.0, noise=1.0, explore=0.05, seed=0,
    gust=0.0,
) -> ObservedFlight:  # fmt: skip
    """One flight along a figure 1.5 m above the ground, by a guide that does not know the vehicle.

    gust: deviation (rad/s^2) of a torque that lasts some 40 ms and is in no log.
    """
    task = Task(box=1e3, episode_steps=10**6, start=STILL)
    environment, random = Environment(truth, 1, task), np.random.default_rng(seed)
    guide = GeometricGuide(CRAZYFLIE)
    held, observation = guide.initial_state(1), environment.reset(seed=seed)[0]
    dynamics.write(environment.buffer, dynamics.CHARGE, np.array([charge]))
    dynamics.write(environment.buffer, dynamics.VOLTAGE, np.array([truth.battery.empty + 1.2 * charge - 0.3]))
    states, commands, volts, blown = [], [], [], 0.0
    for step in range(round(100 * seconds)):
        t = step / 100
        aim = np.array([0.8 * np.sin(1.3 * t), 0.6 * np.sin(2.1 * t), 0.3 * np.sin(0.9 * t)])
        voltage = float(environment.read(dynamics.VOLTAGE)[0])
        seen = observation.copy()
        seen[:, :3] -= aim.astype(np.float32)
        action, held = guide.act(seen, held)
        command = (action[0] + 1) / 2 / (voltage / truth.battery.nominal) ** truth.battery.exponent * 1.1
        command = np.clip(command + explore * random.standard_normal(4), 0, 1)
        blown = 0.8 * blown + 0.6 * gust * random.standard_normal(3) if gust else 0.0
        torque = np.array(trim) + blown * np.array(truth.inertia)
        dynamics.write(environment.buffer, dynamics.DISTURBANCE_ROWS, np.array([[0, 0, 0, *torque]]))
        states.append(environment.read(slice(0, 13))[0])
        commands.append(command)
        volts.append(voltage)
        observation, *_ = environment.step((2 * command - 1)[None].astype(np.float32))
    state = np.array(states, float) + noise * NOISE * random.standard_normal((len(states), 13))
    state[:, 3:7] /= np.linalg.norm(state[:, 3:7], axis=1, keepdims=True)
    state[:, 2] += 1.5
    count = len(state)
    good, lost = np.ones(count, bool), np.zeros(count, bool)
    volts = np.array(volts) + noise * 0.01 * random.standard_normal(count)
    return ObservedFlight(name, state, np.array(commands), volts, good, lost)
