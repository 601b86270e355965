"""A program on a terminal of its own, and all that it writes to it."""

import os
import subprocess


def on_a_terminal(command, **options) -> tuple[int, str]:
    """The exit code of the command (options: as of Popen), and what it wrote to its terminal, escape sequences and all."""
    master, slave = os.openpty()
    with subprocess.Popen(command, stdout=slave, stderr=slave, **options) as process:
        os.close(slave)
        data = bytearray()
        try:
            while part := os.read(master, 65536):
                data += part
        except OSError:  # the program has ended
            pass
    os.close(master)
    return process.returncode, data.decode()
