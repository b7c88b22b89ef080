# `make demo` and `make test` do all their own set-up in .venv on a bare Debian machine.
PYTHON ?= python3
BIN := .venv/bin
SYSTEM_PACKAGES := python3-venv ffmpeg libgl1 libglib2.0-0 libegl1 libgles2 libportaudio2
PREFIX ?= /opt/spotter
DESTDIR ?=
PIP ?= yes
ARGS ?=
SET ?= virtual_trainee
SEEDS ?= 581 582 583 584 585 586 587 588 589 590
RUN_SETUP := .venv/run.stamp
TEST_SETUP := .venv/test.stamp
FIRMWARE_SETUP := .venv/firmware.stamp
MICROPYTHON_STUBS := 1.28.0.post4
PYRIGHT := tests/firmware/node_modules/pyright/index.js

.PHONY: help demo test lint unit types fuzz references model voice figures picture evaluate evaluate-people show-data install \
  uninstall clean

help:
	@echo "make demo     the virtual trainee's session, live in the terminal; pictures and film in out/ (ARGS='--seed 7')"
	@echo "make test     linters, types, import rules and tests"
	@echo "make fuzz     a million damaged inputs through the parsers of the bands' protocol"
	@echo "make references  accept what the coach makes of the recordings in tests/data/replay, and show what changed"
	@echo "make model    rebuild the shipped model bundle from the virtual trainee (some 65 minutes on two cores)"
	@echo "make voice    speak the prompts of device/voice anew (needs espeak-ng)"
	@echo "make figures  score the coach over ten demo sessions, into docs/figures.md (some 8 minutes)"
	@echo "make picture  draw docs/demo.png anew"
	@echo "sudo make install    put Spotter onto this appliance: $(PREFIX), units, settings (DESTDIR=, PREFIX=, PIP=no)"
	@echo "sudo make uninstall  take it off again; sessions are kept"
	@echo "make evaluate  every table and figure of the paper on virtual trainees, into reports/ (90 minutes; ARGS='--only table5 figure4')"
	@echo "make evaluate-people  what the shipped coach makes of recorded people, into reports/ (ARGS='--only video_pose --data FOLDER')"
	@echo "make show-data SET=ui_prmd  a set of recordings as pictures, into out/data/"

demo: $(RUN_SETUP)
	$(BIN)/spotter demo $(ARGS)

test: lint unit

lint: $(TEST_SETUP)
	$(BIN)/ruff format --check device export tests firmware_wearable
	$(BIN)/ruff check device export tests firmware_wearable
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory types

# The firmware against the stubs of both boards' MicroPython.
types: $(FIRMWARE_SETUP)
	@if [ -e $(PYRIGHT) ]; then node $(PYRIGHT) -p tests/firmware/esp32s3.json && node $(PYRIGHT) -p tests/firmware/picow.json; \
	else echo "The firmware's types were not checked: npm is absent. Install nodejs and npm, and delete $(FIRMWARE_SETUP)."; fi

fuzz: $(TEST_SETUP)
	$(BIN)/python tests/fuzz_band.py $(ARGS)

unit: $(TEST_SETUP) $(FIRMWARE_SETUP)
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

references: $(TEST_SETUP)
	$(BIN)/python tests/references.py $(ARGS)

model: $(TEST_SETUP)
	OMP_WAIT_POLICY=passive $(BIN)/python -m export.build $(ARGS)

voice: $(RUN_SETUP)
	$(BIN)/python -m device.voice.make

figures: $(RUN_SETUP)
	$(BIN)/python -m device.demo.figures $(SEEDS) --out docs/figures.md

picture: $(RUN_SETUP)
	$(BIN)/python -m device.demo.picture docs/demo.png

install uninstall:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' PYTHON='$(PYTHON)' PIP='$(PIP)' sh systemd/install.sh $@

evaluate: $(TEST_SETUP)
	OMP_WAIT_POLICY=passive $(BIN)/python -m export.evaluate_simulation $(ARGS)

evaluate-people: $(TEST_SETUP)
	$(BIN)/python -m export.evaluate_people $(ARGS)

show-data: $(TEST_SETUP)
	$(BIN)/python -m export.datasets.show $(SET) $(ARGS)

$(RUN_SETUP): setup.cfg pyproject.toml constraints.txt | .venv/system.stamp
	$(BIN)/pip install --progress-bar on -c constraints.txt -e '.[report]'
	touch $@

$(TEST_SETUP): setup.cfg pyproject.toml constraints.txt | .venv/system.stamp
	$(BIN)/pip install --progress-bar on -c constraints.txt -e '.[test,export]'
	touch $@ $(RUN_SETUP)

# What the firmware is tested with: MicroPython and pyright under node, and the stubs. Without node those tests skip and say so.
$(FIRMWARE_SETUP): tests/firmware/package-lock.json | .venv/system.stamp
	@command -v npm >/dev/null || { $(call install_missing,nodejs npm); } || true
	@for board in esp32 rp2-rpi_pico_w; do \
	  $(BIN)/pip install -q --upgrade --target .venv/typings/$$board micropython-$$board-stubs==$(MICROPYTHON_STUBS); \
	done
	@if command -v npm >/dev/null; then npm ci --prefix tests/firmware --no-audit --no-fund || \
	  echo "npm could not fetch MicroPython; the firmware's tests will skip."; fi
	touch $@

# Installs what is missing of $(1) with apt where that is possible, and says what is missing where it is not.
define install_missing
missing=""; \
	for package in $(1); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then as=""; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as=sudo; else as=none; fi; \
	  if [ "$$as" = none ]; then echo "Missing system packages:$$missing. Install them with: sudo apt-get install$$missing"; \
	  else $$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; fi; \
	fi
endef

.venv/system.stamp:
	@$(call install_missing,$(SYSTEM_PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "Spotter needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt pip setuptools wheel
	touch $@

clean:
	rm -rf .venv out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
