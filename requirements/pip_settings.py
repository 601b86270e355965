"""pip's settings of this computer as uv's variables, one `export` a line, for a shell: uv reads no pip.conf.

A variable that is set already stays as it is.
"""

import ast
import os
import shlex
import subprocess
import sys

NAMES = {
    "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
}  # fmt: skip
SEPARATORS = {"UV_FIND_LINKS": ","}  # of several values; elsewhere a blank


def exports(listed: str) -> list[str]:
    """The lines for what `pip config list` printed; its variables of the environment go before its files.

    >>> exports("global.find-links='/a /b'")
    ["export UV_FIND_LINKS='/a,/b'"]
    """
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        if (name := NAMES.get(key.rpartition(".")[2])) and name not in os.environ:
            found[name] = SEPARATORS.get(name, " ").join(ast.literal_eval(value).split())
    if "UV_INDEX" in found:  # pip takes the best version of all indices
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return [f"export {name}={shlex.quote(value)}" for name, value in found.items()]


if __name__ == "__main__":
    command = [sys.executable, "-m", "pip", "config", "list"]
    print("\n".join(exports(subprocess.run(command, check=True, capture_output=True, text=True).stdout)))
