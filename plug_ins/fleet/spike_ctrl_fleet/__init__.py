"""Several flights in one ROS domain: no take-off while the cages of two overlap."""
