# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs first (setup.sh).
PY := .venv/bin/python
SELECT ?= not slow
TESTS ?= tests
# pytest's processes, each with a file of tests at a time (docs/decisions/0042); 0: one after the other
WORKERS ?= 2

.PHONY: help setup demo test test-all lint docs screens manual ruffle image image-pi test-image test-image-pi test-install test-power test-update bench clean

help:           ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 15

setup:          ## what the demo needs
	@./setup.sh demo

demo: setup     ## a county and a box in this terminal (ARGS="--library DIR" for your own lessons)
	@$(PY) samples/demo.py $(ARGS)

# tests/image makes whole systems and boots them: `make test-install`, `make test-image`, `make test-power`, `make test-update`.
test:           ## all tests but the slow ones
	@./setup.sh test
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "$(SELECT)" --ignore=tests/image $(TESTS)

test-all:       ## the slow ones too, one after the other
	@$(MAKE) --no-print-directory test SELECT= WORKERS=0

lint:           ## ruff and mypy
	@./setup.sh test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs:           ## write the pages that are made from the program: settings, errors, commands
	@./setup.sh test
	$(PY) docs/reference.py

screens:        ## screenshots of the main pages into docs/screens
	@./setup.sh bench
	$(PY) -m tests.e2e.screens

manual:         ## the pictures and the terminal of docs/operations.md
	@./setup.sh image
	$(PY) -m tests.e2e.manual

RUFFLE := 0.6.0
RUFFLE_SHA512 := 3f65f5cc310d06888bb766633dcb14cda0f1a11edf545d9ed54fdb8bb85b2004048e4ca4c658d2a06f0081bcb01ef9555732fd639b4864c46a0f0226df58e03c
ruffle:         ## the Flash player from npm into build/ruffle, for install.sh and images (docs/decisions/0026)
	rm -rf build/ruffle && mkdir -p build/ruffle
	cd build && npm pack --silent @ruffle-rs/ruffle@$(RUFFLE)
	cd build && echo "$(RUFFLE_SHA512)  ruffle-rs-ruffle-$(RUFFLE).tgz" | sha512sum --check --quiet
	tar xzf build/ruffle-rs-ruffle-$(RUFFLE).tgz -C build/ruffle --strip-components=1 --exclude='*.map' --no-same-owner
	gzip -9 build/ruffle/*.wasm build/ruffle/*.js
	rm build/ruffle-rs-ruffle-$(RUFFLE).tgz
	@./setup.sh test
	$(PY) -m pytest tests/e2e/check_ruffle.py  # it plays

image:          ## the image of a box for a mini-PC, into build/image (images/README.md); as root
	@./setup.sh image
	images/build --arch amd64

IMAGE_TESTS ?= tests/image/test_image.py tests/image/test_technician.py tests/image/test_television.py
test-image:     ## build that image twice, look into it, boot it in QEMU; as root
	@./setup.sh image
	$(PY) -m pytest $(IMAGE_TESTS)

image-pi:       ## the image for Raspberry Pi 4 and 5, likewise; another machine's programs are emulated meanwhile
	@./setup.sh image
	images/build --arch arm64

test-image-pi:  ## build that one twice, read it as a Pi's firmware and kernel would, boot it in QEMU; as root
	@./setup.sh image
	$(PY) -m pytest tests/image/test_arm64.py

test-install:   ## install.sh in fresh Debian 12 and 13, booted (systemd-nspawn); as root
	@./setup.sh test
	$(PY) -m pytest tests/image/test_install.py

test-power:     ## the power cut at 500 places of a box's life, by its disk's log of writes; as root
	@./setup.sh image
	$(PY) -m pytest tests/image/test_power_cut.py

test-update:    ## updates of system and programs in QEMU and a container: good, bad, forged, power cut; as root
	@./setup.sh image
	$(PY) -m pytest tests/image/test_update.py tests/image/test_update_cut.py tests/image/test_update_app.py

bench:          ## side-by-side measurements (docs/benchmarks.md)
	@./setup.sh bench
	@for program in bench/*.py; do echo "== $$program"; $(PY) $$program || exit 1; done

clean:          ## remove what was made here
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
