# spike_ctrl: set up, train, test. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
DONE := $(VENV)/done
# The ROS 2 of .venv; it keeps the one that it was made with.
HELD := $(sort $(patsubst ros-%,%,$(notdir $(wildcard $(DONE)/ros-*))) $(if $(wildcard $(DONE)/ros),kilted))
ROS ?= $(or $(HELD),jazzy)
ifneq ($(filter-out $(ROS),$(HELD)),)
$(error $(VENV) holds ROS 2 $(HELD), asked for was ROS=$(ROS): make clean, or VENV=.venv-$(ROS))
endif
INSTALL := requirements/install.sh $(VENV)
LOCKS := $(wildcard requirements/lock/*/*.txt)
LOCK = requirements/lock/$$($(VENV)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
TELL = locked() { echo "setup: $$1, $$(grep -c == $$1) packages, exact versions, hashes checked"; }; locked

MESSAGES := $(wildcard $(addprefix src/spike_ctrl_msgs/,msg/*.msg srv/*.srv cmake/*)) \
            $(addprefix src/spike_ctrl_msgs/,CMakeLists.txt package.xml)
# Our own `ros2` is left out where there is another one.
ROS2 := $(shell IFS=:; for folder in $$PATH; do \
  [ -f "$$folder/ros2" ] && [ -x "$$folder/ros2" ] && ! grep -q spike_ctrl_ros2cli "$$folder/ros2" && echo "$$folder/ros2"; done)
PACKAGES := $(filter-out $(if $(ROS2),plug_ins/ros2cli/%),$(wildcard src/*/pyproject.toml plug_ins/*/pyproject.toml))
FLIGHT_PACKAGES := src/spike_ctrl $(addprefix src/spike_ctrl_,ros guide policy flight record) $(addprefix plug_ins/,fleet launcher networks rviz uxrce)
LAUNCH_FILES := $(wildcard launch/*.launch.py)

# Another environment's ROS must not reach this one's: an activated ROS venv or a sourced ROS installation sets these. Python
# must keep what it compiles (PYTHONDONTWRITEBYTECODE): else a node starts in twice the time.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE AMENT_PREFIX_PATH CMAKE_PREFIX_PATH
export PATH := $(abspath $(VENV))/bin:$(PATH)

ifndef TWO
.NOTPARALLEL:
endif
.DEFAULT_GOAL := help
.PHONY: help setup setup_flight clean sim_train flight_demo lint test_quick test test_alone test_flight certify faults bench soak images docs notebooks reference lock

help: ## list the targets
	@echo "make TARGET; the first that needs it makes .venv. ARGS=\"...\" reaches the program behind the target."
	@sed -n -e 's/^##@ \(.*\)/\n\1/p' -e 's/^\([a-z_]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

##@ Begin
setup: ## make .venv; skips what is done; ROS=kilted for another ROS 2, TORCH=cuda or TORCH_INDEX=URL for another torch
	@$(MAKE) -s --no-print-directory -j2 TWO=1 $(DONE)/kernels $(DONE)/index  # the kernels compile beside ROS 2's messages

# numpy is that of ROS 2, which its messages were compiled with, where there is one.
setup_flight: ## beside an installed ROS 2, on aarch64 too: .venv with what flies and records; no torch, no compiler
	@[ ! -d $(DONE) ] || { echo "setup_flight: $(VENV) holds what make setup made: name another: VENV=.venv-flight" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, setuptools, venv, wheel' 2> /dev/null || \
	  { echo "setup_flight: apt-get install python3-venv python3-setuptools python3-wheel, or name another python: PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv --system-site-packages $(VENV)
	@[ -s $(LOCK)/flight.txt ] || { echo "setup_flight: no $(LOCK)/flight.txt: wanted Python 3.10 to 3.13" >&2; exit 1; }
	@left=numpy; $(PYTHON) -c 'import numpy' 2> /dev/null || left=nothing; \
	  awk -v left="^$$left==" '/^[a-z]/ { keep = $$0 !~ left } keep' $(LOCK)/flight.txt > $(VENV)/flight.txt
	@$(TELL) $(VENV)/flight.txt
	@$(INSTALL) --no-deps --only-binary=:all: --require-hashes -r $(VENV)/flight.txt
	@$(INSTALL) --no-deps --no-build-isolation $(FLIGHT_PACKAGES:%=-e %)
	@$(VENV)/bin/python -c 'import platform, sys; from spike_ctrl import load_policy; [load_policy(file) for file in sys.argv[1:]]; \
	  print(f"setup_flight: {len(sys.argv) - 1} models gave their own actions on {platform.machine()}")' models/*.safetensors
	@$(VENV)/bin/python -c 'import spike_ctrl_msgs' 2> /dev/null || \
	  echo "setup_flight: the messages are missing: colcon build --base-paths src --packages-select spike_ctrl_msgs (needs a compiler), or copy its install folder from another machine of this kind"

clean: ## remove .venv and build; runs are kept
	rm -rf $(VENV) build install log

##@ Train and fly
sim_train: setup ## train in simulation through the ROS 2 graph, by recipe td3bc; ARGS="recipe:=dagger vehicles:=64"
	$(VENV)/bin/spike-ctrl launch sim_train $(ARGS)

flight_demo: setup ## fly the embedded vehicle: hover, step, figure-eight; figures and a page in build/flight_demo
	$(VENV)/bin/spike-ctrl demo $(ARGS)

##@ Check a change
lint: $(DONE)/index $(DONE)/lint ## style, format and types: ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test_quick: setup $(DONE)/test ## the tests that need no other process and little time: what to run at each change
	$(VENV)/bin/python -m pytest -n 2 -m "not slow and not flight and not alone" tests/unit $(ARGS)

# Three processes, since many tests wait for nodes, each a file at a time; those of tests/unit are short and fill the end.
# 5: ARGS has left no test of the second kind.
test: setup $(DONE)/test ## all tests but the flights; ARGS="-k lif" for some of them
	$(VENV)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not flight and not alone" \
	  tests/launch tests/vehicle plug_ins tests/colcon tests/packaging tests/unit $(ARGS)
	$(VENV)/bin/python -m pytest -m alone $$(grep -rl --include='test_*.py' mark.alone tests/launch plug_ins) $(ARGS) || [ $$? = 5 ]

test_alone: setup $(DONE)/test ## the core, or PLUG_IN=export, built and tested in an environment without the other plug-ins
	$(VENV)/bin/python tests/packaging/alone.py $(or $(PLUG_IN),core) $(ARGS)

test_flight: setup $(DONE)/test ## the fault table in the air, in real time; ARGS="-m seeds" for several seeds
	$(VENV)/bin/python -m pytest tests/flight $(or $(ARGS),-m "not seeds")
	$(if $(ARGS),,$(VENV)/bin/python -m pytest -m flight tests/launch plug_ins tests/colcon)

certify: setup ## 2000 random flights with faults in virtual time; page in runs/certify; ARGS="--flights 10000"
	$(VENV)/bin/spike-ctrl certify models/sih_quadx.safetensors $(or $(ARGS),--flights 2000)

##@ Measure
bench: setup $(DONE)/test ## measure speed; writes build/bench.json; beside l2f where it is installed: make .venv/done/l2f
	$(VENV)/bin/spike-ctrl bench $(ARGS)

soak: setup $(DONE)/test ## ten minutes in the air at 100 Hz: memory, missed deadlines, jitter; writes build/soak.md; SECONDS=60
	$(VENV)/bin/python tests/flight/soak.py $(or $(SECONDS),600)

faults: setup $(DONE)/test ## every row of the fault table at every level; writes docs/faults.md from the results
	rm -rf build/faults
	-$(VENV)/bin/python -m pytest tests/unit tests/flight -m proves
	$(VENV)/bin/python tests/oracles/fault_page.py

lock: setup ## write the newest versions that fit requirements/ into requirements/lock, with hashes
	PATH=$(abspath $(VENV))/bin:$$PATH requirements/lock.sh

images: ## build the images on plain Debian and run the verbs in them; ARGS="debian_flight" for one of them
	docker/build_images.sh $(ARGS)

##@ Document
docs: setup $(DONE)/docs ## build the site: pages, Python reference, examples; open build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

notebooks: setup $(DONE)/docs ## write the tutorials as Jupyter notebooks to build/notebooks
	$(VENV)/bin/python docs/notebooks.py

reference: setup ## write docs/parameters.md, messages.md, fault_codes.md, what_can_fail.md, house.svg, sros2/policy.xml and schemas from the sources
	$(VENV)/bin/python docs/reference.py
	for kind in airframe recipe; do $(VENV)/bin/spike-ctrl schema $$kind -o config/schemas/$$kind.json; done
	$(VENV)/bin/spike-ctrl schema map -o plug_ins/identify/spike_ctrl_identify/maps/map.json
	$(VENV)/bin/spike-ctrl schema course -o plug_ins/racing/spike_ctrl_racing/courses/course.json
	$(VENV)/bin/spike-ctrl schema race_recipe -o plug_ins/racing/spike_ctrl_racing/recipes/race_recipe.json
	$(VENV)/bin/python docs/sros2.py
	$(VENV)/bin/python docs/house.py

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "setup: $(PYTHON) is missing or older than 3.10: install python3, or name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
	  { echo "setup: $(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@command -v g++ > /dev/null || { echo "setup: g++ is missing: apt-get install g++" >&2; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.exit(platform.system() != "Linux" or platform.machine() != "x86_64")' || \
	  { echo "setup: the ROS 2 wheels are for Linux on x86-64 only; elsewhere install ROS 2 and use colcon build" >&2; exit 1; }
	@echo "setup: $(VENV) from $$($(PYTHON) --version); 2 GB; two minutes and what it takes to fetch; what is done is kept if you stop it"
	@$(PYTHON) -m venv --clear $(VENV)
	@mkdir -p $(DONE)
	@touch $@

# The exact versions of all that is not installed by hashes; empty for a Python without lock files.
$(DONE)/constraints: $(LOCKS) | $(DONE)/venv
	@cat /dev/null $(LOCK)/*.txt 2> /dev/null | sed -n 's/^\([^ ]*==[^ ]*\).*/\1/p' | sort -u > $@
	@[ -s $@ ] || echo "setup: no lock files for this Python in requirements/lock: the newest versions that fit are taken"

# Torch after the packages that it shares with others, so that theirs are the locked ones.
$(DONE)/train: requirements/train.txt requirements/flight.txt requirements/torch.txt $(DONE)/constraints
	@[ ! -s $(DONE)/constraints ] || { $(TELL) $(LOCK)/train.txt; $(INSTALL) --no-deps --require-hashes -r $(LOCK)/train.txt; }
	@if [ -n "$(TORCH_INDEX)" ]; then \
	  echo "setup: torch from $(TORCH_INDEX)"; \
	  $(INSTALL) --default-index $(TORCH_INDEX) -r requirements/torch.txt; \
	elif [ "$(TORCH)" = cuda ] && [ -s $(DONE)/constraints ]; then \
	  echo "setup: torch with CUDA, several GB"; \
	  $(INSTALL) --no-deps --require-hashes -r $(LOCK)/torch.txt; \
	else \
	  echo "setup: torch as pip finds it: without CUDA 0.2 GB to fetch, with it several GB; TORCH_INDEX=URL names an index without, such as PyTorch's for the CPU"; \
	  $(INSTALL) -c $(DONE)/constraints -r requirements/torch.txt; \
	fi
	@[ -s $(DONE)/constraints ] || $(INSTALL) -r $<
	@touch $@

$(DONE)/experiment $(DONE)/test $(DONE)/lint $(DONE)/docs: $(DONE)/%: requirements/%.txt $(DONE)/constraints
	@if [ -s $(DONE)/constraints ]; then \
	  $(TELL) $(LOCK)/$*.txt; $(INSTALL) --no-deps --require-hashes -r $(LOCK)/$*.txt; \
	else \
	  $(INSTALL) -r $<; \
	fi
	@touch $@

# What flies, on ROS 2 from wheels: of an image without torch.
$(DONE)/flight: requirements/flight.txt $(DONE)/messages $(DONE)/tf2_msgs
	@$(TELL) $(LOCK)/flight.txt
	@$(INSTALL) --no-deps --only-binary=:all: --require-hashes -r $(LOCK)/flight.txt
	@$(INSTALL) --no-deps --no-build-isolation $(addprefix -e ,$(FLIGHT_PACKAGES) plug_ins/ros2cli)
	@touch $@

$(DONE)/l2f: requirements/l2f.txt $(DONE)/constraints
	@echo "setup: requirements/l2f.txt: it compiles for some 15 minutes on one core"
	@$(INSTALL) -c $(DONE)/constraints -r $<
	@touch $@

$(DONE)/ros-$(ROS) $(DONE)/build-$(ROS): $(DONE)/%-$(ROS): requirements/$(ROS)/%.txt requirements/$(ROS)/constraints.txt $(DONE)/constraints
	@echo "setup: requirements/$(ROS)/$*.txt, exact versions"
	@$(INSTALL) -c $(DONE)/constraints -r $<
	@touch $@

# A package of messages built into the environment: $(call built,ITS FOLDER).
define built
@echo "setup: messages of $(notdir $(1))"
@mkdir -p $(VENV)/build
@{ cmake -S $(1) -B $(VENV)/build/$(notdir $(1)) -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_TESTING=OFF -DPYTHON_ONLY=ON -DCMAKE_INSTALL_PREFIX=$(abspath $(VENV)) && \
  cmake --build $(VENV)/build/$(notdir $(1)) && cmake --install $(VENV)/build/$(notdir $(1)); \
} > $(VENV)/build/$(notdir $(1)).log 2>&1 || \
  { tail -n 40 $(VENV)/build/$(notdir $(1)).log >&2; echo "setup: $(notdir $(1)) did not build; all output: $(VENV)/build/$(notdir $(1)).log" >&2; exit 1; }
endef

$(DONE)/messages: $(MESSAGES) $(DONE)/ros-$(ROS) $(DONE)/build-$(ROS)
	$(call built,src/spike_ctrl_msgs)
	@touch $@

# The wheels lack tf2_msgs; /tf needs it.
$(DONE)/tf2_msgs: $(wildcard $(addprefix plug_ins/rviz/tf_message/,CMakeLists.txt package.xml msg/*.msg)) $(DONE)/ros-$(ROS) $(DONE)/build-$(ROS)
	$(call built,plug_ins/rviz/tf_message)
	@touch $@

# $? holds the packages whose pyproject.toml is newer than the stamp.
$(DONE)/packages: $(PACKAGES) | $(DONE)/train $(DONE)/experiment $(DONE)/messages $(DONE)/tf2_msgs
	@echo "setup: packages $(patsubst %/,%,$(dir $?))"
	@$(INSTALL) --no-deps --no-build-isolation $(addprefix -e ,$(dir $?))
	@touch $@

# Else the nodes of the first graph compile them at the same time, each for itself. Changed sources compile when they are used.
$(DONE)/kernels: | $(DONE)/train
	@echo "setup: the kernels of simulator, training and flight, compiled for this machine, a minute if they are new to it"
	@rm -rf $(VENV)/build/kernels && mkdir -p $(VENV)/build
	@PYTHONPATH=src/spike_ctrl $(VENV)/bin/python requirements/compile_kernels.py $(VENV)/build/kernels > $(VENV)/build/kernels.log 2>&1 || \
	  { tail -n 20 $(VENV)/build/kernels.log >&2; echo "setup: the kernels did not compile; all output: $(VENV)/build/kernels.log" >&2; exit 1; }
	@touch $@

# Where ROS 2's own tools look: the index of packages, their share folders, the nodes in lib/PACKAGE. Links to sources lay none.
$(DONE)/index: Makefile $(LAUNCH_FILES) $(DONE)/packages
	@set -e; for source in $(patsubst %/,$(CURDIR)/%,$(dir $(PACKAGES))); do \
	  package=$$(sed -n 's/^name = "\(.*\)"/\1/p' $$source/pyproject.toml); \
	  mkdir -p $(VENV)/lib/$$package $(VENV)/share/$$package; \
	  ln -sfn $$source/resource/$$package $(VENV)/share/ament_index/resource_index/packages/$$package; \
	  ln -sfn $$source/package.xml $(VENV)/share/$$package/package.xml; \
	  for node in $$(sed -n '/^.project.scripts.$$/,/^$$/s/ = .*//p' $$source/pyproject.toml); do \
	    ln -sfn ../../bin/$$node $(VENV)/lib/$$package/$$node; \
	  done; \
	done
	@mkdir -p $(VENV)/share/spike_ctrl/launch
	@ln -sfn $(addprefix $(CURDIR)/,$(LAUNCH_FILES)) $(VENV)/share/spike_ctrl/launch  # ros2launch follows no link to a folder
	@ln -sfn $(CURDIR)/config $(CURDIR)/models $(VENV)/share/spike_ctrl
	@grep -q AMENT_PREFIX_PATH $(VENV)/bin/activate || \
	  echo 'export AMENT_PREFIX_PATH="$$VIRTUAL_ENV$${AMENT_PREFIX_PATH:+:$$AMENT_PREFIX_PATH}"' >> $(VENV)/bin/activate
	@touch $@
