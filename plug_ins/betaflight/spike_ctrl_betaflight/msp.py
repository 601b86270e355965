"""MSP, the MultiWii serial protocol that Betaflight speaks: packets of versions 1 and 2, and the messages used here.

Bytes in, packets out. No sockets, no clock. A packet of version 1 is `$M`, a direction, size, command, payload and the
exclusive or of the last three. One of version 2 is `$X`, a direction, flags, command and size in 16 bits each, payload and a
CRC-8 (DVB-S2). Numbers are little-endian. Rates are those of the body in FLU: a roll to the right, nose down and a turn to
the left are positive.
"""

import math
import struct
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

API_VERSION, FC_VARIANT, FC_VERSION = 1, 2, 3
ADVANCED_CONFIG, FAILSAFE_CONFIG, RX_CONFIG = 90, 75, 44
STATUS_EX, RAW_IMU, RC, ATTITUDE, ANALOG, RC_TUNING = 150, 102, 105, 108, 110, 111
BOXIDS, RC_DEADBAND, BATTERY_STATE, DEBUG = 119, 125, 130, 254
BATTERY_CONFIG, RX_MAP = 32, 64
SET_RAW_RC = 200
ANSWERED = 0x4F57  # of this project: no firmware has it
MOTOR_PROTOCOLS = ("PWM", "ONESHOT125", "ONESHOT42", "MULTISHOT", "BRUSHED", "DSHOT150", "DSHOT300", "DSHOT600",
                   "PROSHOT1000", "DISABLED")  # fmt: skip
LSB = 16.4  # per deg/s
LONGEST = 4096  # bytes of a payload; a longer one is noise that looks like a header

ARM, ANGLE, HORIZON, FAILSAFE, AIRMODE, OVERRIDE = 0, 1, 2, 27, 28, 50  # permanent numbers of the boxes (modes)
ARMING_FLAGS = (
    "NOGYRO", "FAILSAFE", "RXLOSS", "NOT_DISARMED", "BOXFAILSAFE", "RUNAWAY", "CRASH", "THROTTLE", "ANGLE", "BOOTGRACE",
    "NOPREARM", "LOAD", "CALIB", "CLI", "CMS", "BST", "MSP", "PARALYZE", "GPS", "RESCUE_SW", "DSHOT_TELEM", "REBOOT_REQD",
    "DSHOT_BBANG", "NO_ACC_CAL", "MOTOR_PROTO",
)  # fmt: skip


class MspError(ValueError):
    """A payload that is shorter than its message."""


class Packet(NamedTuple):
    """An answer. ok: whether the firmware knows the command and accepted it."""

    command: int
    payload: bytes
    ok: bool = True


def request(command: int, payload: bytes = b"", version: int = 1) -> bytes:
    """The bytes of a request. A command over 254 and a payload over 254 bytes need version 2."""
    return _frame(b"<", command, payload, version)


def answer(command: int, payload: bytes = b"", version: int = 1, ok: bool = True) -> bytes:
    """The bytes of an answer, as the firmware sends it."""
    return _frame(b">" if ok else b"!", command, payload, version)


def _frame(direction: bytes, command: int, payload: bytes, version: int) -> bytes:
    if version == 1:
        if command > 254 or len(payload) > 254:
            raise MspError(f"MSP 1: found command {command} with {len(payload)} bytes, wanted at most 254 of each")
        body = bytes((len(payload), command)) + payload
        return b"$M" + direction + body + bytes((_exclusive_or(body),))
    body = struct.pack("<BHH", 0, command, len(payload)) + payload
    return b"$X" + direction + body + bytes((crc8(body),))


def _exclusive_or(data: bytes) -> int:
    found = 0
    for byte in data:
        found ^= byte
    return found


def crc8(data: bytes) -> int:
    """CRC-8 DVB-S2: polynomial 0xD5, starting with 0."""
    found = 0
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found << 1) ^ 0xD5 if found & 0x80 else found << 1
        found &= 0xFF
    return found


class MspReader:
    """Finds the answers in a stream of bytes, or the requests. counts: packets that were used, and damaged ones."""

    def __init__(self, requests: bool = False) -> None:
        self.requests = requests
        self._waiting = bytearray()
        self.counts: Counter[str] = Counter()

    def read(self, data: bytes) -> list[Packet]:
        """The answers that are complete with these bytes, in order. Requests that are echoed are skipped; or those alone."""
        self._waiting += data
        found = []
        while (start := self._waiting.find(b"$")) >= 0:
            del self._waiting[:start]
            size, packet = self._first()
            if size == 0:
                break
            del self._waiting[:size]
            if packet is not None:
                found.append(packet)
        else:
            self._waiting.clear()
        return found

    def _first(self) -> tuple[int, Packet | None]:
        """How many bytes the first packet has, 0 where some are missing, and the packet; None for one that is not used."""
        data = self._waiting
        if len(data) < 3:
            return 0, None
        second, direction = bytes(data[1:2]), bytes(data[2:3])
        if second not in (b"M", b"X") or direction not in (b"<", b">", b"!"):
            return 1, None
        head, room = (5, "<BB") if second == b"M" else (8, "<BHH")
        if len(data) < head:
            return 0, None
        numbers = struct.unpack_from(room, data, 3)
        length, command = numbers if second == b"M" else (numbers[2], numbers[1])
        if length > LONGEST:
            self.counts["damaged"] += 1
            return 1, None
        if len(data) < head + length + 1:
            return 0, None
        body = bytes(data[3 : head + length])
        if data[head + length] != (_exclusive_or(body) if second == b"M" else crc8(body)):
            self.counts["damaged"] += 1
            return 1, None
        if (direction == b"<") is not self.requests:
            return head + length + 1, None
        self.counts["used"] += 1
        return head + length + 1, Packet(command, body[head - 3 :], direction == b">")


class Status(NamedTuple):
    """MSP_STATUS_EX. cycle: us of the PID loop. boxes: bit n is the box at place n of MSP_BOXIDS. profile: of the rates."""

    cycle: int
    boxes: int
    profile: int
    disabled: tuple[str, ...]  # what bars arming

    def active(self, box: int, boxids: Sequence[int]) -> bool:
        """Whether the box with this permanent number is active."""
        return box in boxids and bool(self.boxes >> boxids.index(box) & 1)


class Imu(NamedTuple):
    """MSP_RAW_IMU. force: specific force in units of the sensor, FLU. rates: rad/s, FLU, of the filtered gyro."""

    force: tuple[float, float, float]
    rates: tuple[float, float, float]


class MspBattery(NamedTuple):
    """MSP_BATTERY_STATE. voltage: V. cells: 0 where none was found. capacity, drawn: mAh. state: 0 is OK."""

    voltage: float
    cells: int
    capacity: int
    drawn: int
    state: int


class RateProfile(NamedTuple):
    """MSP_RC_TUNING: rates and throttle. Numbers of roll, pitch and yaw are those of the CLI. limits: deg/s."""

    rc_rates: tuple[int, int, int]
    expo: tuple[int, int, int]
    rates: tuple[int, int, int]
    limits: tuple[int, int, int]
    kind: int  # place in rates.KINDS
    throttle_mid: int
    throttle_expo: int
    throttle_limit_type: int
    throttle_limit: int
    throttle_hover: int  # versions before API 1.47 have none: 50, as their curve goes


class Receiver(NamedTuple):
    """MSP_RX_CONFIG, us: the stick's middle, the least throttle that is none, and the range of valid pulses."""

    middle: int
    min_check: int
    least: int
    most: int


class MotorConfig(NamedTuple):
    """Of MSP_ADVANCED_CONFIG. protocol: of MOTOR_PROTOCOLS. idle: motor command of no throttle, 0..1."""

    protocol: str
    idle: float


class BatteryLimits(NamedTuple):
    """Of MSP_BATTERY_CONFIG. measured: whether there is a voltage meter. least, warning: V of a cell."""

    measured: bool
    least: float
    warning: float


class Failsafe(NamedTuple):
    """MSP_FAILSAFE_CONFIG. delay, landing: s. throttle: us. procedure: 0 auto-land, 1 drop, 2 GPS rescue."""

    delay: float
    landing: float
    throttle: int
    procedure: int


def status(payload: bytes) -> Status:
    """MSP_STATUS_EX."""
    cycle, _, _, boxes, _, _, _, profile, more = _unpack("<HHHIBHBBB", payload)
    more &= 15
    after = 16 + more
    if len(payload) < after + 5:
        raise MspError(f"MSP_STATUS_EX: found {len(payload)} bytes, wanted at least {after + 5}")
    boxes |= int.from_bytes(payload[16:after], "little") << 32
    count, flags = struct.unpack_from("<BI", payload, after)
    names = [*ARMING_FLAGS, *(f"FLAG_{n}" for n in range(len(ARMING_FLAGS), 32))]
    names[count - 1 : count] = ["ARM_SWITCH"]  # the last flag of every version
    return Status(cycle, boxes, profile, tuple(name for n, name in enumerate(names[:count]) if flags >> n & 1))


def imu(payload: bytes) -> Imu:
    """MSP_RAW_IMU. The gyro comes in its own units: those of a range of 2000 deg/s."""
    a, b, c, p, q, r = _unpack("<6h", payload)
    return Imu((a, b, c), (math.radians(p / LSB), math.radians(q / LSB), math.radians(r / LSB)))


def attitude(payload: bytes) -> tuple[float, float, float]:
    """MSP_ATTITUDE: roll to the right, pitch nose down and yaw, rad. Betaflight's yaw grows to the right from north."""
    roll, pitch, yaw = _unpack("<3h", payload)
    return math.radians(roll / 10), math.radians(pitch / 10), math.radians(yaw)


def battery(payload: bytes) -> MspBattery:
    """MSP_BATTERY_STATE."""
    cells, capacity, _, drawn, _, state, voltage = _unpack("<BHBHhBH", payload)
    return MspBattery(voltage / 100, cells, capacity, drawn, state)


def rate_profile(payload: bytes) -> RateProfile:
    """MSP_RC_TUNING of API 1.43 and later."""
    (
        roll_rate, roll_expo, *rates, _, mid, expo, _, yaw_expo, yaw_rate, pitch_rate, pitch_expo, limit_type, limit,
        roll_limit, pitch_limit, yaw_limit, kind,
    ) = _unpack("<BBBBBBBBHBBBBBBHHHB", payload)  # fmt: skip
    return RateProfile(
        (roll_rate, pitch_rate, yaw_rate), (roll_expo, pitch_expo, yaw_expo), (rates[0], rates[1], rates[2]),
        (roll_limit, pitch_limit, yaw_limit), kind, mid, expo, limit_type, limit, payload[23] if len(payload) > 23 else 50,
    )  # fmt: skip


def motors(payload: bytes) -> MotorConfig:
    """MSP_ADVANCED_CONFIG."""
    _, _, _, protocol, _, idle = _unpack("<BBBBHH", payload)
    return MotorConfig(MOTOR_PROTOCOLS[protocol] if protocol < len(MOTOR_PROTOCOLS) else str(protocol), idle / 10000)


def battery_limits(payload: bytes) -> BatteryLimits:
    """MSP_BATTERY_CONFIG."""
    _, _, _, _, meter, _, least, _, warning = _unpack("<BBBHBBHHH", payload)
    return BatteryLimits(meter != 0, least / 100, warning / 100)


def receiver(payload: bytes) -> Receiver:
    """MSP_RX_CONFIG."""
    _, _, middle, min_check, _, least, most = _unpack("<BHHHBHH", payload)
    return Receiver(middle, min_check, least, most)


def failsafe(payload: bytes) -> Failsafe:
    """MSP_FAILSAFE_CONFIG."""
    delay, landing, throttle, _, _, procedure = _unpack("<BBHBHB", payload)
    return Failsafe(delay / 10, landing / 10, throttle, procedure)


def channels(payload: bytes) -> tuple[int, ...]:
    """MSP_RC: the pulses (us) that the firmware flies by, roll, pitch, yaw, throttle, then the switches."""
    return struct.unpack(f"<{len(payload) // 2}H", payload[: len(payload) // 2 * 2])


def set_raw_rc(pulses: Sequence[int]) -> bytes:
    """MSP_SET_RAW_RC with these pulses (us)."""
    return request(SET_RAW_RC, struct.pack(f"<{len(pulses)}H", *pulses))


def sets_sticks(data: bytes) -> bool:
    """Whether a packet is MSP_SET_RAW_RC."""
    return data[:3] == b"$M<" and data[4:5] == bytes((SET_RAW_RC,))


def answered(stamp: float) -> bytes:
    """Word that all commands up to the state with this stamp (s) were sent. It is for a simulation, and no firmware's."""
    return request(ANSWERED, struct.pack("<d", stamp), 2)


def without_answered(data: bytes) -> tuple[bytes, list[float], bytes]:
    """These bytes without the words `answered`; their stamps (s); and the end, if it may begin such a word."""
    kept, stamps = b"", list[float]()
    while (place := data.find(_ANSWERED)) >= 0 and len(data) >= place + _LENGTH:
        kept += data[:place]
        stamps += struct.unpack_from("<d", data, place + len(_ANSWERED))
        data = data[place + _LENGTH :]
    end = place if place >= 0 else next((n for n in range(len(data)) if _ANSWERED.startswith(data[n:])), len(data))
    return kept + data[:end], stamps, data[end:]


def _unpack(room: str, payload: bytes) -> tuple[int, ...]:
    if len(payload) < struct.calcsize(room):
        raise MspError(f"MSP: found {len(payload)} bytes, wanted at least {struct.calcsize(room)}")
    return struct.unpack_from(room, payload)


_LENGTH = len(answered(0.0))
_ANSWERED = answered(0.0)[:8]  # all before its payload
