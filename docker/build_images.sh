#!/usr/bin/env bash
# Builds the images on plain Debian and runs in each what a user runs: docker/build_images.sh [debian_flight] [debian_train]
# It takes docker; where that is missing buildah, on a base that debootstrap makes (as root: apt-get install buildah debootstrap netavark).
#   BASE_IMAGE=NAME    another base than debian:trixie-slim, with docker
#   PYTHON=3.11        bookworm's Python in the base of debootstrap, instead of trixie's 3.13
#   TORCH_INDEX=URL    where torch is taken from, such as PyTorch's index for the CPU; empty: as pip finds it, with CUDA
#   WHEELS=FOLDER      wheels that pip takes before those of an index
#   CERTIFICATES=FILE  what pip trusts, where that is not its own list
#   KEEP=1             the images stay in buildah's store; docker's always stay
#   FULL=1             also trains by the default recipe
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-3.13}
containers=()
made= # the base image, where this made it
limits=(--ulimit nofile=20000:20000 --ulimit nproc=96365:96365) # what a builder without privileges may set
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs ROS_DOMAIN_ID=${ROS_DOMAIN_ID:-0}

finish() {
  for container in "${containers[@]}"; do buildah rm "$container" > /dev/null || true; done
  if ! command -v docker > /dev/null && [ -z "${KEEP:-}" ]; then
    for image in "${targets[@]/#/spike_ctrl:}" $made; do buildah rmi "$image" > /dev/null 2>&1 || true; done
    buildah rmi --prune > /dev/null 2>&1 || true
  fi
  rm -rf --one-file-system "$work"
}

timed() { # timed WORDS COMMAND...: what it says goes to a file, its last lines are shown if it fails
  local words=$1 start=$EPOCHREALTIME
  shift
  if ! "$@" > "$work/log" 2>&1; then
    tail -n 40 "$work/log" >&2
    echo "images: failed: $words" >&2
    exit 1
  fi
  awk -v words="$words" -v start="$start" -v end="$EPOCHREALTIME" 'BEGIN { printf "images: %6.1f s  %s\n", end - start, words }'
}

base() { # what debian:trixie-slim holds: no manuals, no translations
  debootstrap --variant=minbase trixie "$work/base" || return
  if [ "$PYTHON" = 3.11 ]; then
    sed -i "p; s/ trixie / bookworm /" "$work/base/etc/apt/sources.list"
    printf 'Package: python3* libpython3*\nPin: release n=bookworm\nPin-Priority: 900\n' > "$work/base/etc/apt/preferences.d/python"
  fi
  (cd "$work/base" && rm -rf var/lib/apt/lists/* var/cache/apt/* var/log/*.log usr/share/{man,info,locale}/*)
  find "$work/base/usr/share/doc" ! -type d ! -name copyright -delete
  local container
  container=$(buildah from scratch)
  buildah add -q "$container" "$work/base" /
  buildah config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit -q --rm "$container" "$BASE_IMAGE"
  rm -rf --one-file-system "$work/base"
}

build() {
  local options=(--target "$1" -t "spike_ctrl:$1" -f docker/Dockerfile --secret "id=pip,src=$work/pip.conf"
    --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}")
  [ -z "${WHEELS:-}" ] || options+=(--build-context "wheels=$WHEELS")
  [ -z "${CERTIFICATES:-}" ] || options+=(--secret "id=certificates,src=$CERTIFICATES")
  if command -v docker > /dev/null; then
    docker buildx build --load "${options[@]}" .
  else
    buildah bud --format docker "${limits[@]}" "${options[@]}" .
  fi
}

sizes() { # of the unpacked image, and of what a registry would send
  if command -v docker > /dev/null; then
    docker save "spike_ctrl:$1" > "$work/image"
  else
    buildah push -q "spike_ctrl:$1" "docker-archive:$work/image"
  fi
  echo "images: $1: $(($(stat -c %s "$work/image") / 1000000)) MB, compressed $(($(gzip -1 < "$work/image" | wc -c) / 1000000)) MB"
  rm "$work/image"
}

within() { # within COMMAND...: in the image, as its user, with runs and bags on volumes
  local volumes=(-v "$work/runs:/spike_ctrl/runs" -v "$work/bags:/spike_ctrl/bags")
  if command -v docker > /dev/null; then
    docker run --rm --network host --env ROS_DOMAIN_ID "${volumes[@]}" "spike_ctrl:$target" "$@"
  else
    buildah run --user 1000:1000 --env HOME=/home/pilot --env ROS_DOMAIN_ID="$ROS_DOMAIN_ID" "${volumes[@]}" "${containers[-1]}" -- "$@"
  fi
}

fly="spike-ctrl launch flight vehicle:=embedded auto:=true bag:=bags"
watch='import sys, time, urllib.request
for _ in range(120):
    try:
        sys.exit("<html" not in urllib.request.urlopen("http://127.0.0.1:9494", timeout=5).read().decode().lower())
    except OSError:
        time.sleep(0.5)
sys.exit("watch --web: no page in a minute")'

check_debian_flight() {
  timed "it is no root" within sh -c '[ "$(id -u)" = 1000 ]'
  timed "there is no torch" within python -c 'import importlib.util; assert not importlib.util.find_spec("torch")'
  timed "launch flight vehicle:=embedded" within $fly/flight
  timed "replay" within spike-ctrl replay bags/flight
}

check_debian_train() {
  timed "it is no root" within sh -c '[ "$(id -u)" = 1000 ]'
  timed "train debug" within spike-ctrl train debug --run runs/debug
  timed "make sim_train recipe:=debug" within make sim_train ARGS="recipe:=debug run:=runs/graph"
  timed "launch flight vehicle:=embedded, watch --web beside it" within bash -c "
    spike-ctrl watch --web --port 9494 & watch=\$!
    python -c '$watch' & page=\$!
    $fly/train && wait \$page; result=\$?
    kill \$watch; exit \$result"
  timed "replay" within spike-ctrl replay bags/train
  timed "report" within spike-ctrl report runs/graph bags/train -o runs/page.html
  [ -z "${FULL:-}" ] || timed "make sim_train" within make sim_train ARGS=run:=runs/default
}

targets=("$@")
[ $# -gt 0 ] || targets=(debian_flight debian_train)
for target in "${targets[@]}"; do
  if ! declare -F "check_$target" > /dev/null; then
    echo "images: found $target, wanted debian_flight or debian_train" >&2
    exit 2
  fi
done
work=$(mktemp -d)
trap finish EXIT
printf '[global]\nfind-links = /wheels\n' > "$work/pip.conf"
[ -z "${CERTIFICATES:-}" ] || echo "cert = /run/secrets/certificates" >> "$work/pip.conf"
if [ -z "${BASE_IMAGE:-}" ]; then
  BASE_IMAGE=debian:trixie-slim
  if ! command -v docker > /dev/null; then
    BASE_IMAGE=localhost/$BASE_IMAGE
    made=$BASE_IMAGE
    timed "base image of Debian trixie by debootstrap" base
  fi
fi
for target in "${targets[@]}"; do
  timed "$target built" build "$target"
  sizes "$target"
  install -d -m 777 "$work/runs" "$work/bags"
  command -v docker > /dev/null || containers+=("$(buildah from "${limits[@]}" "spike_ctrl:$target")")
  "check_$target"
done
echo "images: all passed"
