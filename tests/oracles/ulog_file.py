"""Writes ULog files as PX4's logger does, by its published format: header, definitions, data."""

import struct

import numpy as np

SIZES = {"uint64_t": "Q", "float": "f", "bool": "?", "uint8_t": "B", "int32_t": "i"}
MAGIC = b"ULog\x01\x12\x35\x01"


def message(kind: str, payload: bytes) -> bytes:
    return struct.pack("<HB", len(payload), ord(kind)) + payload


def _definition(fields) -> str:
    parts = []
    for name, (kind, values) in fields.items():
        size = np.atleast_2d(np.asarray(values).T).shape[0] if np.ndim(values) > 1 else 1
        parts.append(f"{kind}[{size}] {name}" if size > 1 else f"{kind} {name}")
    return ";".join(parts) + ";"


def ulog(topics, parameters=()) -> bytes:
    """The bytes of a log. topics: {name: (times in s, {field: (C type, values (K,) or (K, n))})}. parameters: by name."""
    out = MAGIC + struct.pack("<Q", 0) + message("B", bytes(40))
    for name, (_, fields) in topics.items():
        out += message("F", f"{name}:uint64_t timestamp;{_definition(fields)}".encode())
    for name, value in dict(parameters).items():
        kind, code = ("int32_t", "i") if isinstance(value, int) else ("float", "f")
        key = f"{kind} {name}".encode()
        out += message("P", bytes([len(key)]) + key + struct.pack(f"<{code}", value))
    rows = []
    for number, (name, (times, fields)) in enumerate(topics.items()):
        out += message("A", struct.pack("<BH", 0, number) + name.encode())
        for row, time in enumerate(times):
            data = struct.pack("<Q", round(time * 1e6))
            for kind, values in fields.values():
                cells = np.atleast_1d(np.asarray(values)[row])
                data += struct.pack(f"<{len(cells)}{SIZES[kind]}", *cells.tolist())
            rows.append((time, message("D", struct.pack("<H", number) + data)))
    return out + b"".join(data for _, data in sorted(rows, key=lambda row: row[0]))
