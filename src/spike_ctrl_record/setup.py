from setuptools import find_packages, setup

package = "spike_ctrl_record"

setup(
    name=package,
    version="0.1.0",
    description="Nodes recorder and replayer: the topics of the graph to a rosbag2 bag, and a bag to a policy.",
    maintainer="spike_ctrl maintainers",
    maintainer_email="maintainers@spike-ctrl.example",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package}"]),
        (f"share/{package}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "recorder = spike_ctrl_record.recorder_node:main",
            "replayer = spike_ctrl_record.replayer_node:main",
        ]
    },
)
