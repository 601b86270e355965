#!/usr/bin/env bash
# Writes requirements/lock/PYTHON/GROUP.txt: every package that requirements/GROUP.txt brings, with its exact version and
# the hashes of its files. `make lock` runs it. Each group leaves out what train holds; torch and CUDA have a file of their own.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

resolve() { # PYTHON FILE...: `name==version` with the hashes below, on standard output; on $platform
  local python=$1
  shift
  uv pip compile --quiet --python-version "$python" --python-platform "${platform:-x86_64}-manylinux_2_28" \
    --generate-hashes --no-annotate --no-header --no-emit-index-url "$@" -c torch.txt -c "$work/build"
}

select_packages() { # PATTERN 1|0 FILE: the packages that match, or those that do not, with their hashes
  awk -v pattern="$1" -v wanted="$2" '/^[a-zA-Z0-9]/ { keep = ($0 ~ pattern) == wanted } keep' "$3"
}

grep -hv '^ros-\|^-c' jazzy/build.txt > "$work/build" # what builds packages, such as setuptools, has one version
{ head -n 1 uv.txt; echo uv | uv pip compile --quiet --generate-hashes --no-annotate --no-header --no-emit-index-url -; } > "$work/uv"
cp "$work/uv" uv.txt
cuda='^(torch|triton|nvidia-[^=]*|cuda-[^=]*)=='
for python in 3.10 3.11 3.12 3.13; do
  mkdir -p "lock/$python"
  resolve "$python" train.txt > "$work/all"
  select_packages "$cuda" 1 "$work/all" > "lock/$python/torch.txt"
  select_packages "$cuda" 0 "$work/all" > "lock/$python/train.txt"
  held="^($(grep -oP '^[^=\s]+(?===)' "$work/all" | paste -sd '|'))=="
  for group in experiment test lint docs; do
    # colcon wants pytest-cov, which nothing here uses; numba imports coverage where it is, .08 s in each process.
    resolve "$python" "$group.txt" -c "$work/all" --no-emit-package coverage --no-emit-package pytest-cov > "$work/group"
    cat "$work/group" >> "$work/all" # so that two groups never want two versions
    select_packages "$held" 0 "$work/group" > "lock/$python/$group.txt"
  done
  platform=aarch64 resolve "$python" flight.txt -c "$work/all" > "lock/$python/flight.txt" # part of train, by itself
  echo "lock: Python $python, $(cat lock/"$python"/*.txt | grep -c '==') packages"
done
