"""Recordings of the ROS graph as rosbag2 bags (version 9, MCAP).

Any ROS tool opens them. This package writes, repairs, reads and replays them without ROS.
"""

from spike_ctrl._files.errors import UsageError


class BagError(UsageError):
    """A bag cannot be written, repaired or read. The message is one line: the bag, what was found, what is wanted."""
