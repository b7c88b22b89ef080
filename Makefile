# `make demo` and `make test` do all their own set-up in .venv on a bare Debian machine.
PYTHON ?= python3
BIN := .venv/bin
SYSTEM_PACKAGES := python3-venv ffmpeg libgl1 libglib2.0-0 libegl1 libgles2 libportaudio2
ARGS ?=
SEEDS ?= 101 102 103 104 105 106 107 108 109 110
RUN_SETUP := .venv/run.stamp
TEST_SETUP := .venv/test.stamp

.PHONY: help demo test lint unit model voice figures picture clean

help:
	@echo "make demo     the virtual trainee's session, live in the terminal; pictures and film in out/ (ARGS='--seed 7')"
	@echo "make test     linters, types, import rules and tests"
	@echo "make model    rebuild the shipped model bundle from the virtual trainee (under 40 minutes on two cores)"
	@echo "make voice    speak the prompts of device/voice anew (needs espeak-ng)"
	@echo "make figures  score the coach over ten demo sessions, into docs/figures.md (some 25 minutes)"
	@echo "make picture  draw docs/demo.png anew"

demo: $(RUN_SETUP)
	$(BIN)/spotter demo $(ARGS)

test: lint unit

lint: $(TEST_SETUP)
	$(BIN)/ruff format --check device export tests
	$(BIN)/ruff check device export tests
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(TEST_SETUP)
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

model: $(TEST_SETUP)
	OMP_WAIT_POLICY=passive $(BIN)/python -m export.build $(ARGS)

voice: $(RUN_SETUP)
	$(BIN)/python -m device.voice.make

figures: $(RUN_SETUP)
	$(BIN)/python -m device.demo.figures $(SEEDS) --out docs/figures.md

picture: $(RUN_SETUP)
	$(BIN)/python -m device.demo.picture docs/demo.png

$(RUN_SETUP): setup.cfg pyproject.toml constraints.txt | .venv/system.stamp
	$(BIN)/pip install --progress-bar on -c constraints.txt -e .
	touch $@

$(TEST_SETUP): setup.cfg pyproject.toml constraints.txt | .venv/system.stamp
	$(BIN)/pip install --progress-bar on -c constraints.txt -e '.[test,export]'
	touch $@ $(RUN_SETUP)

# Installs what is missing with apt where that is possible, and says what is missing where it is not.
.venv/system.stamp:
	@missing=""; \
	for package in $(SYSTEM_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then as=""; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as=sudo; else as=none; fi; \
	  if [ "$$as" = none ]; then echo "Missing system packages:$$missing. Install them with: sudo apt-get install$$missing"; \
	  else $$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; fi; \
	fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "Spotter needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt pip setuptools wheel
	touch $@

clean:
	rm -rf .venv out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
