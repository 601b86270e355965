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


# The Kalman filter: it believes poses at once, and keeps what else it is told

predicted, flows, ranges = [], [], []
kalmanCoreParams_t = kalmanCoreData_t = flowMeasurement_t = tofMeasurement_t = SimpleNamespace


def poseMeasurement_t():
    return SimpleNamespace(quat=SimpleNamespace())


class Axis3f(SimpleNamespace):
    def __init__(self):
        super().__init__(x=0.0, y=0.0, z=0.0)


class Axis3fSubSampler_t:
    def __init__(self):
        self.samples, self.subSample = [], Axis3f()


def axis3fSubSamplerInit(sampler, factor):
    sampler.factor = factor


def axis3fSubSamplerAccumulate(sampler, sample):
    sampler.samples.append((sample.x, sample.y, sample.z))


def axis3fSubSamplerFinalize(sampler):
    if sampler.samples:
        columns = zip(*sampler.samples, strict=True)
        sampler.subSample.x, sampler.subSample.y, sampler.subSample.z = (
            sampler.factor * sum(column) / len(column) for column in columns
        )
        sampler.samples.clear()


def kalmanCoreDefaultParams(parameters):
    parameters.initialX = parameters.initialY = parameters.initialZ = 0.0


def kalmanCoreInit(core, parameters, now):
    core.place, core.turn = (parameters.initialX, parameters.initialY, parameters.initialZ), (0.0, 0.0, 0.0, 1.0)


def kalmanCorePredict(core, parameters, force, rates, now, flying):
    predicted.append((now, (force.x, force.y, force.z), (rates.x, rates.y, rates.z), flying))


def kalmanCoreAddProcessNoise(core, parameters, now):
    pass


def kalmanCoreFinalize(core):
    pass


def kalmanCoreUpdateWithPose(core, pose):
    core.place, core.turn = (pose.x, pose.y, pose.z), (pose.quat.x, pose.quat.y, pose.quat.z, pose.quat.w)


def kalmanCoreUpdateWithFlow(core, flow, gyro):
    flows.append((flow, (gyro.x, gyro.y, gyro.z)))


def kalmanCoreUpdateWithTof(core, found):
    ranges.append(found)


def kalmanCoreExternalizeState(core, state, force):
    state.position.x, state.position.y, state.position.z = core.place
    turn = state.attitudeQuaternion
    turn.x, turn.y, turn.z, turn.w = core.turn
