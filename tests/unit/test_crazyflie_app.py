"""The app for the Crazyflie's firmware, compiled against a stand-in of its headers, with all warnings as errors.

- the observation by absolute facts: a yaw to the left, a nose that is down, a gyro in degrees; the legacy pitch is not read
- forces: what arrives at the motor through the firmware's battery compensation is the airframe's thrust, or the duty
- flown at 1000 Hz on the project's dynamics: take-over in the air after the shadow, a step of the set-point, hand-back
- its files for the firmware's make: floats are rounded as in the compiled step; the make is told the app's folder
- faults: no answer, a state that is no number, a tilt; the stock controller flies from the same tick on
- refused: a policy of rates, a network that is too slow
"""

import ctypes
import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from seeing_voltage import seeing

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli.main import main
from spike_ctrl.export import ExportError, c_native, crazyflie_app, write_files
from spike_ctrl.export.c_source import Form
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics

STANDIN = Path(__file__).resolve().parents[1] / "crazyflie_standin"
HEADERS = (
    "FreeRTOS",
    "app",
    "controller",
    "controller_pid",
    "log",
    "param",
    "pm",
    "queue",
    "static_mem",
    "task",
    "usec_time",
)
CURVE = np.array([-0.014830744918356092, 0.04724465241828281, -0.01847364358025878, 0.005960923942142])
THRUST_MAX, VOLTS = 0.12, 3.9
HOVER = np.array([0.0, 0.0, 1.0])
OFF, SHADOW, COMMAND, FAULT = range(4)
DEADLINE, NOT_FINITE, TILT = 1, 2, 3

pytestmark = pytest.mark.skipif(c_native.compiler() is None, reason="no C compiler")


def numbers(*names):
    return [(name, ctypes.c_float) for name in names]


class Vector(ctypes.Structure):
    _fields_ = numbers("x", "y", "z")


class Attitude(ctypes.Structure):
    _fields_ = numbers("roll", "pitch", "yaw")


class Quaternion(ctypes.Structure):
    _fields_ = numbers("x", "y", "z", "w")


class Sensors(ctypes.Structure):
    _fields_ = [("acc", Vector), ("gyro", Vector)]


class State(ctypes.Structure):
    _fields_ = [("attitude", Attitude), ("quaternion", Quaternion), ("position", Vector), ("velocity", Vector)]


class Modes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("x", "y", "z", "roll", "pitch", "yaw", "quat")]


class Setpoint(ctypes.Structure):
    _fields_ = [
        ("attitude", Attitude), ("quaternion", Quaternion), ("thrust", ctypes.c_float), ("position", Vector),
        ("velocity", Vector), ("mode", Modes),
    ]  # fmt: skip


class Control(ctypes.Structure):
    class Command(ctypes.Union):
        class Legacy(ctypes.Structure):
            _fields_ = [(name, ctypes.c_int16) for name in ("roll", "pitch", "yaw")] + numbers("thrust")

        _fields_ = [("legacy", Legacy), ("wrench", ctypes.c_float * 4)]

    _fields_ = [("command", Command), ("mode", ctypes.c_int)]


@pytest.fixture(scope="module")
def found():
    return checkpoint.load(resources.folder("models") / "crazyflie.safetensors")


@pytest.fixture(scope="module")
def craft():
    return airframe.load("crazyflie")


def compiled(folder, made):
    """The app, compiled into the library app.so in a folder."""
    write_files(folder, made)
    for name in HEADERS:
        (folder / f"{name}.h").write_text('#include "standin.h"\n')
    (folder / "debug.h").write_text("")
    sources = [*(folder / "src").glob("*.c"), STANDIN / "standin.c"]
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    includes = [f"-I{path}" for path in (folder / "src", folder, STANDIN)]
    subprocess.run(["gcc", *flags, *includes, *map(str, sources), "-lm", "-o", str(folder / "app.so")], check=True)
    return folder / "app.so"


@pytest.fixture(scope="module")
def library(tmp_path_factory, found, craft):
    return compiled(tmp_path_factory.mktemp("app"), crazyflie_app.app(found, "crazyflie", Form(), craft))


@pytest.fixture
def app(tmp_path, library):
    """A copy of its own for each test, because the C has static variables."""
    return ctypes.CDLL(shutil.copy(library, tmp_path / "app.so"))


def hover_setpoint(position=HOVER, yaw=0.0):
    setpoint = Setpoint(position=Vector(*position), attitude=Attitude(0, 0, yaw))
    setpoint.mode.x = setpoint.mode.y = setpoint.mode.z = setpoint.mode.yaw = 1
    return setpoint


def observed(app, state, sensors=None, setpoint=None):
    out = (ctypes.c_float * 18)()
    setpoint = setpoint or hover_setpoint()
    volts = ctypes.c_float(VOLTS)
    app.snn_observe(ctypes.byref(state), ctypes.byref(sensors or Sensors()), ctypes.byref(setpoint), volts, out)
    return np.array(out)


def test_a_vehicle_east_of_a_setpoint_that_faces_north_is_to_its_right(app):
    half = np.sqrt(0.5)
    state = State(quaternion=Quaternion(0, 0, half, half), position=Vector(1, 0, 1.5), velocity=Vector(0, 2, 0))
    seen = observed(app, state, setpoint=hover_setpoint(yaw=90.0))
    np.testing.assert_allclose(seen[:3], [0, -1, 0.5], atol=1e-6)  # x ahead, y to the left
    np.testing.assert_allclose(seen[3:12].reshape(3, 3), np.eye(3), atol=1e-6)  # it faces north, too
    np.testing.assert_allclose(seen[12:15], [2, 0, 0], atol=1e-6)  # it flies north: ahead


def test_a_vehicle_that_flies_as_fast_as_its_setpoint_is_seen_at_rest(app):
    state = State(quaternion=Quaternion(0, 0, 0, 1), velocity=Vector(1.0, -0.5, 0.25))
    setpoint = hover_setpoint()
    setpoint.velocity = Vector(1.0, -0.5, 0.25)
    np.testing.assert_allclose(observed(app, state, setpoint=setpoint)[12:15], 0, atol=1e-6)


def test_a_nose_that_is_down_is_seen_from_the_quaternion_and_not_from_the_legacy_pitch(app):
    angle = np.radians(30)
    quaternion = Quaternion(0, np.sin(angle / 2), 0, np.cos(angle / 2))  # about +y, the left side: the nose goes down
    for legacy in (-30.0, 30.0):
        seen = observed(app, State(quaternion=quaternion, attitude=Attitude(0, legacy, 0), position=Vector(*HOVER)))
        rotation = seen[3:12].reshape(3, 3)
        np.testing.assert_allclose(rotation @ [1, 0, 0], [np.cos(angle), 0, -0.5], atol=1e-6)


def test_a_quarter_turn_in_a_second_is_half_pi(app):
    state = State(quaternion=Quaternion(0, 0, 0, 1))
    seen = observed(app, state, Sensors(gyro=Vector(90, -90, 45)))
    np.testing.assert_allclose(seen[15:], [np.pi / 2, -np.pi / 2, np.pi / 4], atol=1e-5)


def test_a_policy_that_sees_the_voltage_is_told_it_as_its_checkpoint_says(tmp_path):
    loaded = checkpoint.loads(seeing())
    app = ctypes.CDLL(str(compiled(tmp_path, crazyflie_app.app(loaded, "seeing", Form(), airframe.load("crazyflie_real")))))
    out, told = (ctypes.c_float * 19)(), loaded.manifest.contract.voltage
    state = State(quaternion=Quaternion(0, 0, 0, 1))
    given = ctypes.byref(state), ctypes.byref(Sensors()), ctypes.byref(hover_setpoint())
    app.snn_observe(*given, ctypes.c_float(3.3), out)
    assert out[18] == pytest.approx((3.3 - told.middle) / told.span, abs=1e-6) and out[17] == 0


def compensated(force, volts):
    """Duty that the firmware gives a normalised force: the root of its cubic, over the voltage."""
    polynomial = np.append(CURVE[::-1][:-1], CURVE[0] - force * THRUST_MAX)
    root = [r.real for r in np.roots(polynomial) if abs(r.imag) < 1e-9 and r.real > 0]
    return min(root) / volts


def forces(app, action, volts):
    out = (ctypes.c_float * 4)()
    app.snn_forces((ctypes.c_float * 4)(*action), ctypes.c_float(volts), out)
    return np.array(out)


def distributed(wrench):
    """Thrusts (4) of the motors, N, by the firmware's mixer for collective thrust and torques (controlModeForceTorque)."""
    thrust, roll, pitch, yaw = np.array(wrench) / (1, 0.707106781 * 0.046, 0.707106781 * 0.046, 0.007350862856566459) / 4
    return np.array(
        [thrust - roll - pitch - yaw, thrust - roll + pitch + yaw, thrust + roll + pitch - yaw, thrust + roll - pitch + yaw]
    )


def test_the_firmwares_mixer_gives_each_motor_its_force_also_beyond_its_largest_thrust(app):
    wanted, control = np.array([0.2, 1.4, 0.7, 1.1]), Control()
    app.snn_command((ctypes.c_float * 4)(*wanted), ctypes.byref(control))
    assert control.mode == 1
    np.testing.assert_allclose(distributed(control.command.wrench), wanted * THRUST_MAX, atol=1e-7)


def test_a_command_becomes_the_thrust_of_the_airframe_at_any_voltage(app, craft):
    action = np.array([-1.0, -0.2, 0.1, 0.6])
    wanted = [craft.thrust(u) for u in (action + 1) / 2]
    for volts in (3.6, 4.2):
        np.testing.assert_allclose(forces(app, action, volts) * THRUST_MAX, wanted, rtol=1e-5)


def test_no_motor_is_asked_for_more_than_the_voltage_gives(app):
    most = np.polynomial.polynomial.polyval(2.8, CURVE)  # N, a motor that is always on
    assert forces(app, np.ones(4), 2.8).max() * THRUST_MAX == pytest.approx(most, rel=1e-5)


def test_a_policy_with_a_battery_commands_the_duty(tmp_path, found, craft):
    made = crazyflie_app.app(found, "crazyflie", Form(), craft)
    made["src/snn_config.h"] = crazyflie_app._config(craft, True, 0)
    app, volts = ctypes.CDLL(str(compiled(tmp_path, made))), 3.3
    action = np.array([0.0, 0.2, 0.7, 1.0])  # the last one is .15 N by the firmware's fit, more than its THRUST_MAX
    duty = [compensated(force, volts) for force in forces(app, action, volts)]
    np.testing.assert_allclose(duty, (action + 1) / 2, atol=1e-4)


class Flight:
    """The app in the loop at 1000 Hz. The stock controller is a cascade of our own, in the units of the firmware's."""

    def __init__(self, app, craft, position=HOVER):
        self.app, self.craft = app, craft
        self.buffer = dynamics.allocate(1, craft)
        dynamics.write(self.buffer, slice(0, 3), [position])
        dynamics.write(self.buffer, dynamics.ROTOR_ROWS, np.full((1, 4), craft.hover))
        self.setpoint, self.control, self.tick = hover_setpoint(), Control(), 0
        self.answers, self.broken = True, False
        self.stock = Control.in_dll(app, "stock")
        for name, kind in (("enable", ctypes.c_uint8), ("phase", ctypes.c_uint8), ("fault", ctypes.c_uint8)):
            getattr(app, f"at_{name}").restype = ctypes.POINTER(kind)
        app.at_spikes.restype = ctypes.POINTER(ctypes.c_float)
        app.controllerOutOfTreeInit()

    def read(self, name):
        return getattr(self.app, f"at_{name}")()[0]

    def enable(self, value=1):
        self.app.at_enable()[0] = value

    def state(self):
        return dynamics.read(self.buffer, dynamics.STATE_ROWS, 1)[0].astype(float)

    def fly(self, seconds):
        """Fly on. Gives positions (ticks, 3) and phases (ticks,)."""
        positions, phases = [], []
        for _ in range(round(seconds * 1000)):
            s = self.state()
            self.stock.command.legacy.thrust, self.moments = self._cascade(s)
            x = np.nan if self.broken else s[0]
            state = State(
                quaternion=Quaternion(*s[3:7]), position=Vector(x, s[1], s[2]), velocity=Vector(*s[7:10])
            )  # fmt: skip
            sensors = Sensors(gyro=Vector(*np.degrees(s[10:13])))
            self.app.controllerOutOfTree(*map(ctypes.byref, (self.control, self.setpoint, sensors, state)), self.tick)
            if self.answers and self.tick % 10 == 3:  # the task needs 3 ms
                self.app.snn_answer_one()
            dynamics.write(self.buffer, dynamics.COMMAND_ROWS, [self._speeds()])
            dynamics.step(self.buffer, np.float32(1e-3), dynamics.geometry(self.craft))
            self.tick += 1
            positions.append(self.state()[:3])
            phases.append(self.read("phase"))
        return np.array(positions), np.array(phases)

    def _cascade(self, s):
        wanted = np.array([self.setpoint.position.x, self.setpoint.position.y, self.setpoint.position.z])
        push = np.clip(6.0 * (wanted - s[:3]) - 4.0 * s[7:10], -3, 3) + np.array([0, 0, airframe.GRAVITY])
        x, y, z, w = s[3:7]
        up = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        tilt = np.cross(up, push / np.linalg.norm(push))  # world; yaw stays near 0
        return 65535 * self.craft.mass * (push @ up) / 4 / THRUST_MAX, 200 * tilt - 20 * s[10:13]

    def _speeds(self):
        """Rotor speeds that give the commanded thrusts."""
        if self.control.mode == 1:
            thrust = distributed(self.control.command.wrench)
        else:
            arm, inertia = np.abs(self.craft.rotor_x[0]), self.craft.inertia
            x, y, z = self.moments * inertia
            turn = np.array([-x - y, -x + y, x + y, x - y]) / (4 * arm)  # front-right, back-right, back-left, front-left
            thrust = self.control.command.legacy.thrust / 65535 * THRUST_MAX + turn
            thrust = thrust + np.array([-1, 1, -1, 1]) * z / (4 * self.craft.torque_per_thrust)
        c0, c1, c2 = self.craft.thrust_curve
        return np.clip((-c1 + np.sqrt(np.maximum(c1 * c1 - 4 * c2 * (c0 - thrust), 0))) / (2 * c2), 0, 1)


def error(flight, positions):
    wanted = np.array([flight.setpoint.position.x, flight.setpoint.position.y, flight.setpoint.position.z])
    return np.linalg.norm(positions - wanted, axis=1)


@pytest.mark.parametrize("form", [Form(), Form("int8", 16)], ids=lambda form: form.words)
def test_it_takes_over_in_the_air_hovers_follows_a_step_and_gives_back(tmp_path, found, craft, form):
    flight = Flight(ctypes.CDLL(str(compiled(tmp_path, crazyflie_app.app(found, "crazyflie", form, craft)))), craft)
    positions, phases = flight.fly(1.0)
    assert set(phases) == {OFF} and error(flight, positions)[-1] < 0.05
    flight.enable()
    positions, phases = flight.fly(3.0)
    taken = int(np.argmax(phases == COMMAND))
    assert 490 <= taken <= 520 and (phases[taken:] == COMMAND).all()  # 50 answers in shadow
    assert flight.control.mode == 1 and error(flight, positions)[-500:].max() < 0.03
    assert 0.02 < flight.read("spikes") < 0.5
    flight.setpoint = hover_setpoint([0.5, 0.0, 1.2])
    positions, _ = flight.fly(3.0)
    assert error(flight, positions)[-500:].max() < 0.03
    flight.enable(0)
    positions, phases = flight.fly(2.0)
    assert set(phases) == {OFF} and flight.control.mode == 0 and error(flight, positions).max() < 0.2


def in_command(app, craft):
    flight = Flight(app, craft)
    flight.enable()
    _, phases = flight.fly(1.0)
    assert phases[-1] == COMMAND
    return flight


def test_the_stock_controller_takes_over_with_its_own_moments_between_two_of_its_steps_too(app, craft):
    flight = in_command(app, craft)
    flight.stock.command.legacy.roll, flight.stock.command.legacy.pitch = 123, -45
    flight.fly(0.001 * (1 + flight.tick % 2))  # the stock controller has stepped, and its next tick is an odd one
    assert flight.tick % 2 == 1 and flight.control.mode == 1
    flight.enable(0)
    flight.fly(0.001)
    legacy = flight.control.command.legacy
    assert flight.control.mode == 0 and (legacy.roll, legacy.pitch, legacy.yaw) == (123, -45, 0)


def test_without_answers_the_stock_controller_flies_within_the_deadline(app, craft):
    flight = in_command(app, craft)
    flight.answers = False
    positions, phases = flight.fly(2.0)
    assert int(np.argmax(phases == FAULT)) <= 36 and flight.read("fault") == DEADLINE  # 25 ms after the last state answered
    assert flight.control.mode == 0 and error(flight, positions).max() < 0.1
    flight.answers = True
    _, phases = flight.fly(1.0)
    assert set(phases) == {FAULT}  # it does not come back by itself
    flight.enable(0)
    flight.fly(0.01)
    flight.enable(1)
    _, phases = flight.fly(1.0)
    assert phases[-1] == COMMAND


def test_a_state_that_is_no_number_ends_it_at_the_next_question(app, craft):
    flight = in_command(app, craft)
    flight.broken = True
    _, phases = flight.fly(0.02)
    assert int(np.argmax(phases == FAULT)) <= 10 and flight.read("fault") == NOT_FINITE and flight.control.mode == 0


def test_a_tilt_beyond_the_limit_ends_it_in_the_same_tick(app, craft):
    flight = in_command(app, craft)
    half = np.radians(85) / 2
    dynamics.write(flight.buffer, dynamics.QUATERNION, [np.sin(half)])
    dynamics.write(flight.buffer, dynamics.QUATERNION + 3, [np.cos(half)])
    _, phases = flight.fly(0.001)
    assert phases[0] == FAULT and flight.read("fault") == TILT and flight.control.mode == 0


def test_setpoints_of_another_kind_are_flown_by_the_stock_controller(app, craft):
    flight = in_command(app, craft)
    flight.setpoint.mode.x = 2  # a velocity
    _, phases = flight.fly(0.1)
    assert set(phases) == {SHADOW} and flight.control.mode == 0
    flight.setpoint.mode.x = 1
    _, phases = flight.fly(1.0)
    assert phases[-1] == COMMAND


def test_on_the_ground_it_stays_in_shadow(app, craft):
    flight = Flight(app, craft, position=[0, 0, 0.1])
    flight.setpoint = hover_setpoint([0, 0, 0.1])
    flight.enable()
    _, phases = flight.fly(1.0)
    assert set(phases) == {SHADOW}


def test_a_policy_of_rates_is_refused_in_words(tmp_path, capsys):
    model = resources.folder("models") / "sih_quadx.safetensors"
    assert main(["export", str(model), "--to", "crazyflie", "-o", str(tmp_path / "app")]) == 2
    assert "action: found 'rates', wanted 'motors'" in capsys.readouterr().err


def test_a_network_that_is_too_slow_is_refused_in_words(found, craft, monkeypatch):
    contract = dataclasses.replace(found.manifest.contract, sizes=(18, 1024, 1024, 4))
    manifest = dataclasses.replace(found.manifest, contract=contract)
    monkeypatch.setattr(crazyflie_app.c_source, "source", lambda *_: None)
    slow = found._replace(manifest=manifest) if hasattr(found, "_replace") else dataclasses.replace(found, manifest=manifest)
    with pytest.raises(ExportError, match="18-1024-1024-4, whose longest step takes"):
        crazyflie_app.app(slow, "big", Form(), craft)


def test_the_flags_of_its_kbuild_round_each_product_and_sum_as_the_compiled_step_does(tmp_path, found, craft):
    if "fma" not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this processor has no fused multiply-add")
    write_files(tmp_path, crazyflie_app.app(found, "crazyflie", Form(), craft))
    kbuild = (tmp_path / "src" / "Kbuild").read_text()
    flags = [flag for line in kbuild.splitlines() if line.startswith("ccflags-y") for flag in line.split("=", 1)[1].split()]
    command = ["gcc", "-std=gnu11", "-Os", "-mfma", *flags, "-shared", "-fPIC", str(tmp_path / "src" / "policy.c")]
    subprocess.run([*command, "-lm", "-o", str(tmp_path / "policy.so")], check=True)  # gnu11, -Os: as the firmware's make
    library, state, compiled = ctypes.CDLL(str(tmp_path / "policy.so")), (ctypes.c_float * 384)(), found.compiled()
    library.policy_reset(state)
    seen = np.random.default_rng(3).standard_normal((500, 18)).astype(np.float32)
    known, out = compiled.initial_state(), (ctypes.c_float * 4)()
    for observation in seen:
        action, known = compiled.step(observation, known)
        library.policy_step(state, (ctypes.c_float * 18)(*observation), out)
        np.testing.assert_array_equal(np.array(state, np.float32), known.membrane)
        np.testing.assert_array_equal(np.array(out, np.float32), action)


def firmware(folder, flash=464024, ram=96928):
    """A stand-in for a checkout of the firmware, whose make tells the folder of the app and prints sizes."""
    (folder / "tools" / "make").mkdir(parents=True)
    lines = f"Flash |  {flash}/1032192 (45%)", f"RAM   |   {ram}/131072  (74%)", "CCM   |   65248/65536   (100%)"
    rules = ["%_defconfig:", "\t@echo", "all:", "\t@echo $(OOT_CONFIG) > told", *(f"\t@echo '{line}'" for line in lines)]
    (folder / "tools" / "make" / "oot.mk").write_text("\n".join(rules) + "\n")
    return folder


def test_the_firmwares_make_builds_the_app_wherever_it_is_called_from(tmp_path, found, craft, monkeypatch):
    app = tmp_path / "app"
    write_files(app, crazyflie_app.app(found, "crazyflie", Form(), craft))
    monkeypatch.setenv("PWD", str(tmp_path))  # as a shell leaves it
    lines = crazyflie_app.build(app, firmware(tmp_path / "firmware"), lambda line: None)
    assert (app / "told").read_text().strip() == str(app / "app-config")
    assert [line.split()[0] for line in lines] == ["Flash", "RAM", "CCM"]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"flash": 1032193}, "Flash: found 1032193 bytes, wanted at most 1032192"),
        ({"ram": 131073}, "RAM: found 131073 bytes, wanted at most 131072"),
        ({"ram": ""}, "found no size of RAM"),
    ],
)
def test_a_build_that_the_processor_cannot_hold_is_refused_in_words(tmp_path, found, craft, sizes, words):
    app = tmp_path / "app"
    write_files(app, crazyflie_app.app(found, "crazyflie", Form(), craft))
    with pytest.raises(ExportError, match=words):
        crazyflie_app.build(app, firmware(tmp_path / "firmware", **sizes), lambda line: None)


def test_a_folder_that_is_no_firmware_is_refused_in_words(tmp_path):
    with pytest.raises(ExportError, match=r"found no tools/make/oot\.mk, wanted a checkout"):
        crazyflie_app.build(tmp_path, tmp_path, print)
