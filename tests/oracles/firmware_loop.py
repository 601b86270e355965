"""The firmware, our dynamics behind it and our companion beside it, in the vehicle's time and one thread, without ROS."""

import dataclasses
import itertools

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.bridge import observed
from spike_ctrl_betaflight import crsf, firmware, mocap_noise, msp, sitl_packets
from spike_ctrl_betaflight.betaflight_companion import FRESH_API, BetaflightCompanion
from spike_ctrl_betaflight.crsf_line import CrsfLine
from spike_ctrl_betaflight.crsf_mixer import CrsfMixer
from spike_ctrl_betaflight.firmware_simulation import FirmwareSimulation
from spike_ctrl_betaflight.msp_line import MspLine
from spike_ctrl_betaflight.options import BetaflightOptions
from spike_ctrl_betaflight.pose import OutsidePose

PERIOD, WAIT = 0.01, 0.002  # s of a control step; s of this computer's time for the firmware's thread
OFF, ON = 1000, 2000


class Bench:
    """The firmware with a vehicle. wait: vehicle's time goes on until something is true."""

    def __init__(self, sitl, folder, lines=(), craft="racer", noise=0.0, seed=0):
        assert firmware.configure(sitl, folder, [*firmware.SETTINGS, *lines]) == []
        self.firmware = firmware.Firmware(sitl, folder, timed=True)
        self.api = self.firmware.api()
        self.craft = airframe.load(craft)
        self.simulation = FirmwareSimulation(self.craft, self.firmware.grant, self.api >= FRESH_API, 1e3, noise, seed)
        self.line = MspLine(firmware.LINE)

    def sticks(self, roll=1500, pitch=1500, throttle=OFF, yaw=1500, arm=OFF, override=OFF, angle=OFF):
        self.simulation.channels = (roll, pitch, throttle, yaw, arm, override, angle)

    def ask(self, command, payload=b""):
        """The answer, for which the vehicle's time goes on."""
        self.line.send(msp.request(command, payload))
        for _ in range(200):
            self.simulation.advance()
            for packet in self.line.receive(WAIT):
                if packet.command == command:
                    assert packet.ok
                    return packet.payload
        raise AssertionError(f"no answer to {command}")

    def wait(self, seconds):
        for _ in range(round(seconds / self.simulation.dt)):
            self.simulation.advance()

    def until(self, true, patience=30.0):
        end = self.simulation.now + patience
        while not true():
            assert self.simulation.now < end, "not within the time"
            self.wait(0.05)

    def status(self):
        return msp.status(self.ask(msp.STATUS_EX))

    def close(self):
        self.simulation.close()
        self.line.close()
        self.firmware.close()


class CompanionLoop(Bench):
    """And with the companion: `step` gives a state each PERIOD, and what is commanded then answers it."""

    def __init__(self, *arguments, late=0, hover=None, policy="any_rates", **options):
        super().__init__(*arguments, **options)
        self.flown, self.late = airframe.load(policy), late  # late: ms from a state to its command
        chosen = BetaflightOptions(hover=hover or self.craft.hover, battery="assumed", holds_last="allowed")
        self.companion = BetaflightCompanion(self.flown, chosen, 1 / PERIOD, self.line.send)
        self.draws, self.noise = np.random.default_rng(self.simulation.steps), self.simulation.noise
        self.pending = []

    def step(self):
        """The state of the next pose, None where the firmware has not answered within the period."""
        true, now = self.simulation.sensed, self.simulation.now
        draw = (self.noise * self.draws.standard_normal(9)).tolist()
        seen = mocap_noise.measured(true.position, true.quaternion, true.velocity, draw)
        self.companion.receive([OutsidePose(now, now, *seen)], now)
        for packet in self.companion.due(now):
            self.companion.send(packet)
        found = None
        for passed in itertools.count(1):
            if passed > round(PERIOD / self.simulation.dt):
                return None
            self.simulation.advance()
            if states := self.companion.receive(self.line.receive(WAIT), self.simulation.now):
                found = states[-1]
                break
        self.left = round(PERIOD / self.simulation.dt) - passed
        return found

    def command(self, action):
        """Answer the state; the rest of its period passes."""
        for ms in range(self.left):
            if ms == min(self.late, self.left - 1) and action is not None:
                self.companion.command(action, self.simulation.now)
            self.simulation.advance()
            self.companion.receive(self.line.receive(0.0), self.simulation.now)

    def fly(self, seconds, act, begin=0.0):
        """Control steps by `act(time, state)`, an action. Gives (T, 7): time, true position, its set-point."""
        rows = []
        for number in range(round(seconds / PERIOD)):
            state = self.step()
            if state is None:
                continue
            action, point = act(begin + number * PERIOD, state)
            rows.append((begin + number * PERIOD, *self.simulation.sensed.position, *point.position))
            self.command(action)
        return np.array(rows)

    def given(self):
        """Arm and switch the override on, as a pilot does on the ground, and take the vehicle over."""
        self.sticks()
        for _ in range(2000):
            self.step()
            self.left = 0
            status = self.companion.status_now
            if self.companion.curves and status and not set(status.disabled) - {"ARM_SWITCH"} and self.simulation.now > 3:
                break
        self.sticks(arm=ON)
        self.fly(0.5, lambda t, s: (None, _At((0.0, 0.0, 0.0))))
        assert self.companion.armed, self.companion.status_now
        self.sticks(throttle=1500, arm=ON, override=ON)
        self.fly(0.5, lambda t, s: (None, _At((0.0, 0.0, 0.0))))
        self.companion.ask(Ask.OFFBOARD, self.simulation.now)
        assert self.companion.mode is Mode.OFFBOARD


class _At:
    def __init__(self, position):
        self.position = position


def by(controller, policy):
    """Actions of a guide or policy for `CompanionLoop.fly`. point: of time, a set-point."""

    def flying(point):
        state = [controller.initial_state(1) if policy is None else policy.initial_state()]

        def act(time, sample):
            wanted = point(time)
            row = observed(sample, wanted)
            if policy is None:
                found, state[0] = controller.act(np.asarray(row)[None], state[0])
                return found[0].tolist(), wanted
            found, state[0] = policy.step(row, state[0])
            return np.ravel(found).tolist(), wanted

        return act

    return flying


class MixedLoop(CompanionLoop):
    """And with the mixer between the pilot's CRSF receiver and the firmware's: no frame of override is sent.

    heard: whether the pilot's receiver sends frames. speaks: whether the companion's sticks reach the mixer.
    """

    LINES = ("feature -RX_UDP", "feature RX_SERIAL", "set serialrx_provider = CRSF", "set rx_uart = UART2",
             "set msp_override_channels_mask = 32768")  # fmt: skip

    def __init__(self, sitl, folder, lines=(), **options):
        super().__init__(sitl, folder, lines=(*self.LINES, *lines), **options)
        self.companion.options = dataclasses.replace(self.companion.options, mixer="127.0.0.1:7788")
        self.controller = CrsfLine(f"tcp:127.0.0.1:{sitl_packets.MSP + 1}")
        self.mixer, self.heard, self.speaks, self.passes = CrsfMixer(), True, True, 0
        self.companion.send, self.simulation._remote = self.send, self.pass_on

    def send(self, data):
        if not msp.sets_sticks(data):
            self.line.send(data)
        elif self.speaks:
            (packet,) = msp.MspReader(requests=True).read(data)
            self.mixer = self.mixer.told(msp.channels(packet.payload), self.simulation.now)

    def pass_on(self):
        """A frame of the pilot's receiver, 150 times a second, goes through the mixer to the firmware."""
        if not self.heard or self.simulation.now * 150 < self.passes:
            return
        self.passes += 1
        channels = [crsf.channel(pulse) for pulse in (*self.simulation.channels, *[1000] * 16)]
        self.mixer, passed = self.mixer.passed(crsf.packed(channels[:16]), self.simulation.now)
        self.controller.write(passed.data)

    def close(self):
        self.controller.close()
        super().close()
