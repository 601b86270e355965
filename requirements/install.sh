#!/bin/sh
# `uv pip install` into an environment, from where pip on this computer would fetch: requirements/install.sh VENV ARGUMENTS...
# Without a terminal it says only what fails.
set -e
venv=$1
shift
ready() { [ -x "$venv/bin/uv" ] && [ -f "$venv/uv.env" ]; }  # the second is written when the first is whole
ready || (  # make runs several of these at once: the first installs uv, and the others wait
  flock 9 && { ready || {
    "$venv/bin/python" -m pip --disable-pip-version-check install -q --no-deps --require-hashes -r requirements/uv.txt &&
    "$venv/bin/python" requirements/pip_settings.py > "$venv/uv.env.new" && mv "$venv/uv.env.new" "$venv/uv.env"
  }; }
) 9< "$venv/pyvenv.cfg"
. "$venv/uv.env"
[ -t 2 ] || set -- -q "$@"
exec "$venv/bin/uv" pip install --python "$venv/bin/python" "$@"
