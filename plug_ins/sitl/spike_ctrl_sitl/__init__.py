"""Train on PX4, fly our dynamics under PX4 (hardware in the loop), and Gazebo models: node px4_backend."""
