"""`preflight --set`: what it types into the CLI of a flight controller that is played here, and what it refuses."""

import argparse
import socket
import struct
import threading

import pytest
from betaflight_answers import ANSWERS, BOXIDS

from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight import autopilot_option, betaflight_verb, firmware, msp, settings_writer
from spike_ctrl_betaflight.msp_line import MspLine


class Board(threading.Thread):
    """Speaks MSP, and from `#` on the CLI, until `save` or `exit` restarts it. settings: that it keeps; typed: what came."""

    def __init__(self, settings, armed=False, api="000130"):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        self.settings, self.armed, self.api, self.typed = dict(settings), armed, api, []
        self.start()

    def run(self):
        while True:
            try:
                self.line, _ = self.listener.accept()
                with self.line:
                    self.serve(dict(self.settings))
            except OSError:
                return

    def serve(self, now):
        waiting, cli = b"", False
        while data := self.line.recv(4096):
            waiting += data
            if waiting.startswith(b"#"):
                cli, waiting = True, waiting[1:]
                self.line.sendall(b"\r\nEntering CLI Mode, type 'exit' to reboot, or 'help'\r\n\r\n# ")
            while cli and b"\n" in waiting:
                words, _, waiting = waiting.partition(b"\n")
                self.typed.append(text := words.decode())
                if text in ("save", "exit"):
                    self.settings = now if text == "save" else self.settings
                    return
                name, value = text.split()[1], text.split()[-1]
                if name not in now:
                    said = f"###ERROR IN {text.split()[0]}: INVALID NAME: {name}###"
                else:
                    now[name] = value if text.startswith("set") else now[name]
                    said = f"{name} = {now[name]}\r\nAllowed values: OFF, ON"
                self.line.sendall(f"{text}\r\n{said}\r\n\r\n# ".encode())
            while not cli and len(waiting) >= 6 and len(waiting) >= 6 + waiting[3]:
                command, waiting = waiting[4], waiting[6 + waiting[3] :]
                self.line.sendall(msp.answer(command, self.answer(command)))

    def answer(self, command):
        if command == msp.STATUS_EX:
            boxes = (1 << BOXIDS.index(msp.ARM)) * self.armed
            return struct.pack("<HHHIBHBBBBIBH", 125, 0, 33, boxes, 0, 0, 4, 0, 0, 26, 0, 0, 0)
        if command == msp.RAW_IMU:
            return bytes(18)
        given = {msp.BOXIDS: BOXIDS, msp.API_VERSION: bytes.fromhex(self.api)}
        return given.get(command, bytes.fromhex(ANSWERS.get(command, "")))


USUAL = {"msp_override_channels_mask": "0", "msp_override_failsafe": "OFF", "serial_update_rate_hz": "100"}


@pytest.fixture
def board():
    made = []

    def make(*arguments, **options):
        made.append(Board(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.listener.close()


def test_what_is_safe_is_set_and_told(board, capsys):
    on = board(USUAL)
    options = argparse.Namespace(autopilot="betaflight", connection=on.place, airframe="any_rates", seconds=1.0, set=True)
    assert autopilot_option.run(options) in (0, 1)
    told = capsys.readouterr().out
    assert "set msp_override_channels_mask: was 0, is 15; undo: set msp_override_channels_mask = 0" in told
    assert "set serial_update_rate_hz: was 100, is 1000" in told and "msp_override_failsafe" not in told
    assert on.settings == settings_writer.SAFE and on.typed[-1] == "save"
    assert {text.split()[0] for text in on.typed} == {"get", "set", "save"}  # and nothing else was typed
    assert {text.split()[1] for text in on.typed[:-1]} == set(settings_writer.SAFE)


def test_px4_keeps_its_own_preflight():
    assert autopilot_option.run(argparse.Namespace(autopilot="px4")) is None


def test_an_armed_vehicle_is_left_alone(board):
    on = board(USUAL, armed=True)
    with pytest.raises(UsageError, match="found the vehicle armed, wanted it disarmed"):
        settings_writer.write(MspLine(on.place))
    assert on.typed == [] and on.settings == USUAL


def test_firmware_that_was_not_run_is_left_alone(board):
    on, parser = board(USUAL, api="00012d"), argparse.ArgumentParser()
    betaflight_verb.add(parser)
    with pytest.raises(UsageError, match=r"--set: .*MSP API: found 1.45, wanted 1.46 to 1.49"):
        betaflight_verb.run(parser.parse_args(["preflight", "--connection", on.place, "--set"]))
    assert on.typed == [] and on.settings == USUAL


def test_firmware_without_a_setting_keeps_all_that_it_has(board):
    on = board({name: value for name, value in USUAL.items() if name != "serial_update_rate_hz"})
    before = dict(on.settings)
    with pytest.raises(UsageError, match="no setting serial_update_rate_hz"):
        settings_writer.write(MspLine(on.place))
    assert on.settings == before and on.typed[-1] == "exit"


@pytest.mark.flight
def test_the_firmware_keeps_what_was_set(sitl, tmp_path):
    for wanted in (settings_writer.SAFE, {}):
        with firmware.Firmware(sitl, tmp_path) as running:
            line = MspLine(firmware.LINE)
            found = {setting.name: setting.after for setting in settings_writer.write(line)}
            line.close()
            running.process.wait(10)  # a SITL ends where a flight controller restarts
        assert found.items() <= settings_writer.SAFE.items() and bool(found) is bool(wanted)
