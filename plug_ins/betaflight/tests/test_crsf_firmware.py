"""Betaflight's own CRSF receiver, compiled from the checkout that BETAFLIGHT_SOURCE names, on our frames and the mixer's."""

import os
import random
import subprocess
from pathlib import Path

import pytest

from spike_ctrl_betaflight import crsf
from spike_ctrl_betaflight.crsf_mixer import CrsfMixer

VARIABLE = "BETAFLIGHT_SOURCE"
HARNESS = Path(__file__).parents[3] / "tests" / "oracles" / "betaflight_crsf.c"


@pytest.fixture(scope="module")
def pulses(tmp_path_factory):
    """A function: what the firmware makes of bytes, sixteen pulses (us) for each frame of channels."""
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no checkout of Betaflight")
    source, program = Path(os.environ[VARIABLE]) / "src", tmp_path_factory.mktemp("crsf") / "receiver"
    parts = [source / "main" / name for name in ("rx/crsf.c", "common/crc.c", "common/streambuf.c")]
    folders = [f"-I{source / 'test' / 'unit'}", f"-I{source / 'main'}"]
    command = ["cc", "-std=gnu11", "-w", "-DUNIT_TEST", "-D_GNU_SOURCE", *folders, HARNESS, *parts]
    command += ["-no-pie", "-Wl,--unresolved-symbols=ignore-all", "-lm", "-o", program]
    subprocess.run(command, check=True)

    def read(data):
        lines = subprocess.run([program], input=data, capture_output=True, check=True).stdout.decode().splitlines()
        return [[float(word) for word in line.split()] for line in lines]

    return read


def test_the_firmware_reads_our_channels(pulses):
    generator = random.Random(2)
    frames = [[generator.randrange(2048) for _ in range(16)] for _ in range(500)]
    found = pulses(b"".join(crsf.packed(frame).data for frame in frames))
    assert len(found) == len(frames)
    for frame, line in zip(frames, found, strict=True):
        assert line == pytest.approx([crsf.pulse(channel) for channel in frame], abs=1e-3)


def test_the_firmware_flies_the_stacks_sticks_while_the_switch_is_on_and_arms_by_the_pilot(pulses):
    generator, mixer, sent, wanted = random.Random(3), CrsfMixer(), b"", []
    on = False
    for step in range(400):
        now = step / 150  # s
        on = on ^ (generator.random() < 0.05)
        stack = [generator.randrange(1000, 2001) for _ in range(4)]
        mixer = mixer.told(stack, now)
        pilot = [generator.randrange(172, 1812) for _ in range(16)]
        pilot[5] = 1811 if on else 172
        mixer, passed = mixer.passed(crsf.packed(pilot), now)
        sent += passed.data
        theirs = [crsf.pulse(channel) for channel in pilot]
        wanted.append([*stack, *theirs[4:]] if on else theirs)
    found = pulses(sent)
    assert len(found) == len(wanted) and 50 < sum(line[5] > 1700 for line in found) < 350
    for line, expected in zip(found, wanted, strict=True):
        assert line == pytest.approx(expected, abs=0.5)
