"""ros2 bag info."""

import argparse
import time
from pathlib import Path
from typing import Any

import yaml

from spike_ctrl_ros2cli.graph_listener import add_command, add_verb

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
SORTED = {"name": "name", "type": "type", "count": "count"}


def add(commands: Any) -> None:
    verbs = add_command(commands, "bag", "Show what a bag holds; `spike-ctrl launch replay` replays a flight.")
    info = add_verb(verbs, "info", show_bag, "ros2 bag info bags/flight\nros2 bag info bags/flight -t")
    info.add_argument("bag_path", type=_there, help="its folder")
    info.add_argument("-s", "--storage", help="taken for the real ros2's sake: metadata.yaml names it")
    info.add_argument("-t", "--topic-name", action="store_true", help="only the names of its topics")
    info.add_argument("--sort", choices=tuple(SORTED), default="name", help="order of the topics (default: %(default)s)")


def show_bag(options: argparse.Namespace) -> str | None:
    """Show files, times and topics of a bag."""
    folder = options.bag_path
    try:
        about = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        topics = [_topic(one) for one in about["topics_with_message_count"]]
        topics.sort(key=lambda one: one[SORTED[options.sort]])
        size = sum((folder / name).stat().st_size for name in about["relative_file_paths"])
        words = described(about, topics, size)
    except (OSError, TypeError, ValueError, LookupError, AttributeError, OverflowError, yaml.YAMLError) as error:
        return f"{folder}: no metadata.yaml of a bag ({error}): `spike-ctrl repair {folder}` restores a broken recording"
    for line in [one["name"] for one in topics] if options.topic_name else [words]:
        print(line)
    return None


def described(about: dict[str, Any], topics: list[dict[str, Any]], size: int) -> str:
    """The report on a bag. about: of metadata.yaml; size: bytes of its files."""
    begin, length = about["starting_time"]["nanoseconds_since_epoch"], about["duration"]["nanoseconds"]
    indent = "\n" + " " * 19
    rows = [
        f"Topic: {one['name']} | Type: {one['type']} | Count: {one['count']} | Serialization Format: {one['format']}"
        for one in topics
    ]
    return "\n".join(
        [
            "",
            f"Files:             {indent.join(about['relative_file_paths'])}",
            f"Bag size:          {in_units(size)}",
            f"Storage id:        {about['storage_identifier']}",
            f"ROS Distro:        {about.get('ros_distro') or 'unknown'}",
            f"Duration:          {_seconds(length)}s",
            f"Start:             {_moment(begin)}",
            f"End:               {_moment(begin + length)}",
            f"Messages:          {about['message_count']}",
            f"Topic information: {indent.join(rows)}",
            "Service:           0",
            "Service information: ",
        ]
    )


def in_units(size: float) -> str:
    """Bytes in the largest unit of which there is one."""
    unit = 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{size:.0f} B"


def _topic(row: dict[str, Any]) -> dict[str, Any]:
    about = row["topic_metadata"]
    found = {"name": about["name"], "type": about["type"], "count": row["message_count"]}
    return found | {"format": about["serialization_format"]}


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"


def _moment(nanoseconds: int) -> str:
    local = time.localtime(nanoseconds // 10**9)
    clock = f"{time.strftime('%H:%M:%S', local)}.{nanoseconds % 10**9:09d}"
    return f"{time.strftime('%b %e %Y', local)} {clock} ({_seconds(nanoseconds)})"


def _there(text: str) -> Path:
    if not Path(text).exists():
        raise argparse.ArgumentTypeError(f"Bag path '{text}' does not exist!")
    return Path(text)
