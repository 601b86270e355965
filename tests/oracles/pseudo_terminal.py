"""A program on a terminal of its own, all that it writes to it, and the rows that then stand there."""

import io
import os
import re
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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(written):
    """The rows of a terminal after this was written to it: it returns, feeds, goes up, erases rows, and ignores the rest."""
    rows, at, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[?0-9;]*[a-zA-Z]|[^\x1b]", written):
        if token == "\n":
            at, column = at + 1, 0
            rows += [""] * (at == len(rows))
        elif token == "\r":
            column = 0
        elif token == "\x1b[2K":
            rows[at] = ""
        elif up := re.fullmatch(r"\x1b\[(\d*)A", token):
            at -= int(up[1] or 1)
        elif len(token) == 1:
            rows[at] = rows[at][:column].ljust(column) + token + rows[at][column + 1 :]
            column += 1
    return rows
