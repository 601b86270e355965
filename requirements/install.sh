#!/bin/sh
# `uv pip install` into an environment, from where pip on this computer would fetch: requirements/install.sh VENV ARGUMENTS...
# Without a terminal it says only what fails.
set -e
venv=$1
shift
[ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip --disable-pip-version-check install -q --no-deps --require-hashes -r requirements/uv.txt
[ -f "$venv/uv.env" ] || "$venv/bin/python" requirements/pip_settings.py > "$venv/uv.env"
. "$venv/uv.env"
[ -t 2 ] || set -- -q "$@"
exec "$venv/bin/uv" pip install --python "$venv/bin/python" "$@"
