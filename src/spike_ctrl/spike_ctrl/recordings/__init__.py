"""Recordings of the graph: rosbag2 bags (version 9, MCAP), for any ROS tool; written, repaired and read without ROS."""


class BagError(Exception):
    """A bag that cannot be written, repaired or read. One line: the bag, what was found, what is wanted."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))
