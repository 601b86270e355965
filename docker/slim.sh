#!/bin/sh
# Takes out of .venv what a run does not need: docker/slim.sh [MORE PACKAGES]. What built the messages, headers, symbols, tests of
# the packages, the dialects of MAVLink that nobody speaks, and what lies there twice.
set -e
packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -rf .venv/build .venv/uv.env .venv/include "$packages/torch/include"
find "$packages" -type d -name tests -prune -exec rm -rf {} +
find .venv -type f \( -name '*.[ach]' -o -name '*.hpp' -o -name '*.cmake' -o -name '*.pxd' -o -name '*.pyx' \) -delete
find "$packages/pymavlink/dialects" -type f ! -name '__init__.py' ! -path '*/v20/development.py' -delete
for package in apsw llvmlite lxml lz4 yaml zstandard; do
  find "$packages/$package" -name '*.so' -exec strip --strip-unneeded {} +
done
find .venv -type f -name '*.so*' -size +100k -exec sha256sum {} + | sort | while read -r sum file; do
  if [ "$sum" = "$last" ]; then ln -sfr "$kept" "$file"; else last=$sum kept=$file; fi
done
# An image keeps whole seconds; what Python has compiled is only valid for the time of its source.
.venv/bin/python -c '
import os, pathlib
for source in pathlib.Path(".venv").rglob("*.py"):
    seconds = int(source.stat().st_mtime)
    os.utime(source, (seconds, seconds))'
.venv/bin/python -m pip uninstall -q -y cmake ninja uv "$@"
