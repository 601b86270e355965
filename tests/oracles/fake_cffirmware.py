"""A stand-in for the Python bindings of the Crazyflie's firmware: structures by their names, controllers that remember.

Its PID commands a thrust by the height alone, its Mellinger the same; both keep what they were told in `told`.
"""

from types import SimpleNamespace

modeAbs, told = 1, []


def _vector(*names):
    return SimpleNamespace(**dict.fromkeys(names, 0.0))


class control_t:
    def __init__(self):
        self.roll = self.pitch = self.yaw = 0
        self.thrust = 0.0


class setpoint_t:
    def __init__(self):
        self.position, self.velocity, self.attitude = _vector(*"xyz"), _vector(*"xyz"), _vector("roll", "pitch", "yaw")
        self.mode = SimpleNamespace(x=0, y=0, z=0, yaw=0)


class state_t:
    def __init__(self):
        self.position, self.velocity, self.attitude = _vector(*"xyz"), _vector(*"xyz"), _vector("roll", "pitch", "yaw")
        self.attitudeQuaternion = _vector(*"xyzw")


class sensorData_t:
    def __init__(self):
        self.gyro = _vector(*"xyz")


class motors_thrust_uncapped_t:
    def __init__(self):
        self.motors = SimpleNamespace(m1=0, m2=0, m3=0, m4=0)


motors_thrust_pwm_t = motors_thrust_uncapped_t
controllerMellinger_t = SimpleNamespace


def controllerPidInit():
    pass


def controllerMellingerInit(controller):
    pass


def controllerPid(control, setpoint, sensors, state, tick):
    told.append((setpoint, sensors, state, tick))
    wanted = 9.81 + 6 * (setpoint.position.z - state.position.z) + 4 * (setpoint.velocity.z - state.velocity.z)
    control.thrust = 65535 * 0.027 * wanted / 4 / 0.12 if setpoint.mode.z else 0.0


def controllerMellinger(controller, control, setpoint, sensors, state, tick):
    controllerPid(control, setpoint, sensors, state, tick)


def powerDistribution(control, motors):
    for name in vars(motors.motors):
        setattr(motors.motors, name, int(control.thrust))


def powerDistributionCap(wanted, given):
    most = max(vars(wanted.motors).values())
    for name, value in vars(wanted.motors).items():
        setattr(given.motors, name, max(0, value - max(0, most - 65535)))
