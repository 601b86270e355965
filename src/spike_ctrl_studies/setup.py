from setuptools import find_packages, setup

package = "spike_ctrl_studies"

setup(
    name=package,
    version="0.1.0",
    description="The studies of arXiv 2510.24461, measured anew with spike_ctrl.",
    maintainer="spike_ctrl maintainers",
    maintainer_email="maintainers@spike-ctrl.example",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package}"]),
        (f"share/{package}", ["package.xml"]),
    ],
    install_requires=["setuptools", "spike_ctrl"],
    entry_points={"spike_ctrl.verbs": ["experiment = spike_ctrl_studies.experiment_verb"]},
    extras_require={"test": ["pytest"]},
    zip_safe=True,
)
