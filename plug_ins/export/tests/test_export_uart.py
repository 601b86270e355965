"""docs/uart_policy.c, the link to a microcontroller, compiled and spoken to byte by byte.

- packets made by another implementation of the CRC get numpy's actions, in policy.h's order of fields
- an activation, a lost packet and a number that is not finite begin anew, in shadow for 50 steps
- a damaged packet is told and not flown on
- a packet that is sent again, because its reply was damaged, gets the same reply and no second step
"""

import binascii
import ctypes
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint
from spike_ctrl_export import c_native, c_source

SOURCE = Path(__file__).parents[3] / "docs" / "uart_policy.c"
READY, WARMING_UP, DAMAGED, NOT_FINITE = range(4)


class Board:
    """The microcontroller's end."""

    def __init__(self, library):
        self.library, self.link, self.sequence = library, ctypes.create_string_buffer(4 * 384 + 64), 0

    def ask(self, observation, first=False, flip=None, lost=0):
        """Status and action; flip: the byte that noise alters; lost: packets that never arrive before this one."""
        self.sequence = (self.sequence + 1 + lost) % 256
        body = struct.pack("<BB18f", self.sequence, first, *observation)
        packet = bytearray(b"\xa5\x5a" + body + struct.pack("<H", binascii.crc_hqx(body, 0xFFFF)))
        if flip is not None:
            packet[flip] ^= 0x10
        reply = ctypes.create_string_buffer(22)
        self.library.answer(self.link, bytes(packet), reply)
        body, crc = reply.raw[2:-2], struct.unpack("<H", reply.raw[-2:])[0]
        assert reply.raw[:2] == b"\xa5\x5a" and crc == binascii.crc_hqx(body, 0xFFFF)
        sequence, status, *action = struct.unpack("<BB4f", body)
        assert sequence == packet[2]
        return status, np.float32(action)


@pytest.fixture(scope="module")
def found():
    return checkpoint.load(resources.folder("models") / "crazyflie.safetensors")


@pytest.fixture(scope="module")
def library(found, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uart")
    c_source.write(folder, c_source.source(found, "crazyflie"))
    built = folder / "link.so"
    command = [c_native.compiler(), *c_native.FLAGS, "-shared", "-fPIC", "-I", folder, SOURCE, folder / "policy.c"]
    subprocess.run([*command, "-lm", "-o", built], check=True)
    return ctypes.CDLL(str(built))


def flown(found, observations):
    state = found.policy.initial_state()
    for observation in observations:
        action, state = found.policy.step(observation, state)
    return action


def test_packets_get_the_actions_of_numpy(library, found):
    board, seen = Board(library), found.self_test
    for number, observation in enumerate(seen, 1):
        status, action = board.ask(observation, first=number == 1)
        assert status == (WARMING_UP if number < 50 else READY)
        np.testing.assert_allclose(action, flown(found, seen[:number]), atol=1e-5)


@pytest.mark.parametrize("fault", [{"lost": 1}, {"lost": 3}, {"first": True}])
def test_after_a_gap_and_on_an_activation_it_begins_anew_in_shadow(library, found, fault):
    board, seen = Board(library), found.self_test
    for observation in seen[:60]:
        status, _ = board.ask(observation)
    assert status == READY
    status, action = board.ask(seen[60], **fault)
    assert status == WARMING_UP
    np.testing.assert_allclose(action, flown(found, seen[60:61]), atol=1e-5)
    statuses = [board.ask(observation)[0] for observation in seen[61:111]]
    assert statuses == [WARMING_UP] * 48 + [READY] * 2


def test_what_is_damaged_is_told_and_the_next_whole_packet_begins_anew(library, found):
    board, seen = Board(library), found.self_test
    for observation in seen[:60]:
        board.ask(observation)
    for flip in (0, 2, 5, 40, 76):
        status, action = board.ask(seen[60], flip=flip)
        assert status == DAMAGED and not action.any()
    assert board.ask(seen[61])[0] == WARMING_UP


def test_a_number_that_is_not_finite_is_told(library, found):
    board, seen = Board(library), found.self_test
    for observation in seen[:60]:
        board.ask(observation)
    bad = seen[60].copy()
    bad[15] = np.nan
    status, action = board.ask(bad)
    assert status == NOT_FINITE and not action.any()
    status, action = board.ask(seen[61])
    assert status == WARMING_UP
    np.testing.assert_allclose(action, flown(found, seen[61:62]), atol=1e-5)


def test_a_packet_that_is_sent_again_gets_the_same_reply_and_no_second_step(library, found):
    board, seen = Board(library), found.self_test
    for number, observation in enumerate(seen[:60], 1):
        status, action = board.ask(observation)
        np.testing.assert_allclose(action, flown(found, seen[:number]), atol=1e-5)
        assert board.ask(observation, flip=76, lost=-1)[0] == DAMAGED
        again, repeated = board.ask(observation, lost=-1)
        assert again == status and np.array_equal(repeated, action)
