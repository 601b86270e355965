from setuptools import find_packages, setup

package = "spike_ctrl_view"

setup(
    name=package,
    version="0.1.0",
    description="Nodes dashboard and viewer: a running graph in the terminal, and in 3-D in a browser.",
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
        "console_scripts": ["dashboard = spike_ctrl_view.dashboard_node:main", "viewer = spike_ctrl_view.viewer_node:main"]
    },
)
