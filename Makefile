# Two environments are made beside the code: .venv (the newest libraries) and, where a
# Python of the guide's version is found, .venv-guide (the guide's libraries, for tests).
PYTHON ?= python3
GUIDE_PYTHON ?= $(shell $(PYTHON) .config/find-guide-python.py)
VENV := .venv
GUIDE := .venv-guide
BIN := $(VENV)/bin
STACK := PYTHONPATH=runtime $(PYTHON) -m sdops_runtime.stack
ROUNDS ?= 2
TORCH ?= shell
FLEET_LOCK := runtime/sdops_runtime/locks/fleet.txt
PIP := -m pip --disable-pip-version-check --quiet

.PHONY: help demo test test-guide test-here test-hosts guide-libraries test-slow test-gpu lint fix docs locks bench-start bench-provision bench-doctor bench-run bench-gpu bench-cpu bench-fleet memory clean

help: ## List what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/ready ## Make a picture from a real photograph with the demo model
	@photo=$$($(BIN)/python -c "from importlib.metadata import files; \
	  print(next(f for f in files('matplotlib') if f.name == 'grace_hopper.jpg').locate())") && \
	  $(BIN)/sdops run "$$photo" "wearing a christmas hat" --model demo --steps 20 --host local --out demo-pictures

test: test-hosts test-here test-guide ## Run the tests, under today's libraries and the guide's; -j2 for two at once

test-here: $(VENV)/ready guide-libraries
	$(BIN)/python -m pytest -m "not hosts and not slow and not gpu"

test-hosts: $(VENV)/ready guide-libraries
	$(BIN)/python -m pytest -m "hosts and not slow and not gpu"

ifneq ($(GUIDE_PYTHON),)
guide-libraries: $(GUIDE)/ready

test-guide: guide-libraries
	$(GUIDE)/bin/python -m pytest tests/runtime
else
guide-libraries:

test-guide:
	@echo "SKIPPED: the tests under the guide's libraries: no Python of the guide's version was found."
	@echo "         Install one (pyenv install, or your system's package) or name it: make test GUIDE_PYTHON=…"
endif

test-slow: $(VENV)/ready ## Run the tests that are too slow for every commit
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/ready ## Run the tests that need a GPU, on this machine's
	$(BIN)/python -m pytest -m gpu tests/runtime

lint: $(VENV)/ready ## Check style, types, the oldest Python, the shell scripts and the playbooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/vermin --quiet --no-tips --violations --target=3.9- runtime/sdops_runtime ansible/roles/*/library
	$(BIN)/shellcheck .ci/run tests/hosts/prepare.sh
	$(BIN)/yamllint --strict .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/ansible-lint --offline

fix: $(VENV)/ready ## Mend what lint finds, where that can be done by machine
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/ready ## Write the generated parts of the README and the picture in it anew
	$(BIN)/python ops/docs/generate.py

locks: $(VENV)/ready ## Bring the pip locks in line with the manifest; UPGRADE=--upgrade takes the newest of the rest
	$(BIN)/python runtime/locks.py $(UPGRADE)

bench-start: $(VENV)/ready ## Time the start of the command line
	$(BIN)/python tests/bench/start.py

bench-provision: $(VENV)/ready ## Time the provisioning of fresh test hosts against the guide's plain commands; ROUNDS=5 TORCH=real
	PYTHONPATH=runtime:tests $(BIN)/python -m bench.provision --rounds $(ROUNDS) --torch $(TORCH)

bench-doctor: $(VENV)/ready ## Time doctor for many (simulated) hosts against one
	PYTHONPATH=$(CURDIR)/ops:$(CURDIR)/runtime:$(CURDIR)/tests $(BIN)/python -m bench.doctor

bench-run: $(VENV)/ready ## Time sdops run on a test host against the guide's way by hand; ROUNDS=5
	PYTHONPATH=$(CURDIR)/ops:$(CURDIR)/runtime:$(CURDIR)/tests $(BIN)/python -m bench.run --rounds $(ROUNDS)

bench-gpu: $(VENV)/ready ## Time the runtime on this machine's GPU against the guide's script, full size; SWITCHES=--switches
	$(BIN)/sdops bench local --device cuda --size full $(SWITCHES) --out bench-gpu.json

bench-cpu: $(VENV)/ready ## The same with the demo model on the CPU
	$(BIN)/sdops bench local --device cpu --size small $(SWITCHES) --out bench-cpu.json

bench-fleet: $(VENV)/ready ## Time a fleet of workers that sleep, and what a thousand of them would cost their head
	PYTHONPATH=runtime:tests $(BIN)/python -m bench.crowd

memory: $(VENV)/ready $(GUIDE)/ready ## Measure how much memory a picture takes, into the runtime's memory.json
	OMP_NUM_THREADS=1 PYTHONPATH=runtime:tests $(BIN)/python -m bench.memory

clean: ## Remove the environments and what the tools left
	rm -rf $(VENV) $(GUIDE) .pytest_cache .mypy_cache .ruff_cache demo-pictures

$(VENV)/ready: pyproject.toml runtime/extras_hook.py runtime/sdops_runtime/stack.json $(FLEET_LOCK)
	@echo "Installing sdops, the libraries that make pictures and the development tools into $(VENV)."
	@echo "PyTorch is most of it: about 200 MB as a CPU build, several GB with its CUDA libraries."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) install --upgrade "pip>=25.1"
	$(STACK) constraints cu130 > $(VENV)/constraints.txt
	$(BIN)/python $(PIP) install --constraint $(VENV)/constraints.txt --editable ".[local]" --group dev --group demo
	$(BIN)/python $(PIP) install --upgrade --target $(VENV)/fleet --no-deps --require-hashes --requirement $(FLEET_LOCK)
	@touch $@

$(GUIDE)/ready: pyproject.toml runtime/sdops_runtime/locks/guide-cpu.txt $(FLEET_LOCK)
	@echo "Installing the guide's libraries (1.8 GB, for tests) into $(GUIDE)."
	$(GUIDE_PYTHON) -m venv $(GUIDE)
	$(GUIDE)/bin/python $(PIP) install --upgrade "pip>=25.1"
	$(GUIDE)/bin/python $(PIP) install --no-deps --require-hashes --requirement runtime/sdops_runtime/locks/guide-cpu.txt
	$(GUIDE)/bin/python ansible/roles/stack_env/files/noexecstack.py $(GUIDE)/lib
	$(GUIDE)/bin/python $(PIP) install --group dev-guide
	$(GUIDE)/bin/python $(PIP) install --upgrade --target $(GUIDE)/fleet --no-deps --require-hashes --requirement $(FLEET_LOCK)
	@touch $@
