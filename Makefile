# Each target brings .venv up to what it needs; a stamp per extra says that it is there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto

# Where `make install` puts things; DESTDIR is laid before every path, for packagers.
PREFIX ?= /opt/auricle
UNITDIR ?= /usr/local/lib/systemd
DESTDIR ?=
# What bridges need, as `mqtt`, with commas between; an upgrade keeps those of before.
EXTRAS ?=
BRIDGES := auricle-mqtt.service auricle-metrics.service auricle-notify.service auricle-web.service
# The service sees no /root and no /home, so the system's own Python serves it.
SERVICE_PYTHON ?= $(if $(wildcard /usr/bin/python3),/usr/bin/python3,$(PYTHON))
# Only on this machine itself, not in a DESTDIR.
systemctl = $(if $(DESTDIR),:,if [ -d /run/systemd/system ]; then systemctl $(1); fi)

# Many tests run real daemons beside each other. What fails there runs once more, alone: a machine that was too busy is
# told from a fault, which fails again. $(1): options; $(2): marks.
define pytest
$(BIN)/python -m pytest $(1) -m "$(2)" || { \
	[ $$? = 1 ] && echo "What failed runs once more, alone:" && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m "$(2)"; }
endef

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs bench ear soak test-tflite clean
.PHONY: addon install install-program install-units install-config uninstall

help:
	@echo "make demo          hear a synthesised scene through the daemon and a subscriber"
	@echo "make test          run the tests"
	@echo "make lint          ruff and mypy --strict"
	@echo "make docs          write anew what is made from declarations: schema, example, tables of keys and messages"
	@echo "make bench         measure, side by side, and write BENCHMARKS.md"
	@echo "make ear           judge \`home\` and its yardsticks, fold by fold, and write docs/models-home.md, docs/scenes-*.md"
	@echo "make soak          the tests that run for minutes or hours"
	@echo "make test-tflite   the runtime on tflite-runtime, for boards without LiteRT"
	@echo "make clean         remove the environments"
	@echo "sudo make install  the program in $(PREFIX), the systemd units, /etc/auricle/auricle.yaml if there is none"
	@echo "                   EXTRAS=mqtt,metrics,notify,web: with what these programs need"
	@echo "sudo make uninstall"
	@echo "make addon         the folder of Home Assistant's add-on, in build/addon"

demo: $(VENV)/.stamp-runtime
	$(BIN)/auricle demo

test: $(VENV)/.stamp-dev $(VENV)/.stamp-build
	$(call pytest,-n $(JOBS) --dist loadfile,not soak and not bench and not alone)
	$(call pytest,,alone and not soak)

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.stamp-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.stamp-runtime
	$(BIN)/python docs/generate.py

bench: $(VENV)/.stamp-bench
	$(BIN)/python tests/bench/bench_features.py
	$(BIN)/python tests/bench/bench_daemon.py
	$(BIN)/python tests/bench/write_benchmarks.py

# How well `home` hears. What is missing of it is made first: networks without a fold, which takes hours; scenes; yardsticks.
DATA ?= ../shared/data
YAMNET ?= ../shared/models/yamnet.tflite
RUNS ?= runs
SHIPPED ?= home
SCENES ?= $(RUNS)/scenes-{fold}
PHONES ?= $(RUNS)/phones-{fold}
ALL ?= $(RUNS)/all-{fold}
OUT ?= docs
FOLDS ?= 1 2 3 4
# Networks of `esc10` without a fold, as runs/esc10-without-{fold}/bundle, to stand beside it in scenes; none unless told.
ESC10 ?=
FAR := baby_cry dog_bark siren car_horn
judged = --model 'home=$(RUNS)/home-without-{fold}/bundle' --rules home=$(SHIPPED) --model AudioSet=$(RUNS)/untaught/bundle \
  --model YAMNet=$(RUNS)/yamnet $(FOLDS:%=--fold %) --cache $(RUNS)/heard --out $(OUT)

ear: $(VENV)/.stamp-build
	[ -e $(RUNS)/yamnet/card.yaml ] || $(BIN)/auricle-build yamnet $(YAMNET) home --out $(RUNS)/yamnet
	mkdir -p $(RUNS)/untaught
	[ -e $(RUNS)/untaught/bundle/card.yaml ] || { \
	  sed 's/^  steps: .*/  steps: 0/' model_build/auricle_build/recipes/home.yaml > $(RUNS)/untaught/home.yaml \
	  && $(BIN)/auricle-build train $(RUNS)/untaught/home.yaml --data $(DATA) --runs $(RUNS)/untaught/run \
	    --out $(RUNS)/untaught/bundle; }
	$(BIN)/auricle-build crossval home --data $(DATA) --runs $(RUNS) --out $(OUT) \
	  --beside AudioSet=$(RUNS)/untaught/bundle --beside YAMNet=$(RUNS)/yamnet
	for fold in $(FOLDS); do \
	  [ -e $(subst {fold},$$fold,$(SCENES)) ] || $(BIN)/auricle-build scenes esc10 --data $(DATA) --fold $$fold --number 4 \
	    --snr 10 10 --negatives --seed 301 --out $(subst {fold},$$fold,$(SCENES)) || exit 1; \
	  [ -e $(subst {fold},$$fold,$(PHONES)) ] || $(BIN)/auricle-build scenes home --data $(DATA) --fold $$fold --number 2 \
	    --snr 10 10 --negatives --phone $(FAR:%=--label %) --seed 401 --out $(subst {fold},$$fold,$(PHONES)) \
	    || exit 1; \
	  [ -e $(subst {fold},$$fold,$(ALL)) ] || $(BIN)/auricle-build scenes home --data $(DATA) --fold $$fold --number 4 \
	    --snr 10 10 --every 6 --negatives --seed 501 --out $(subst {fold},$$fold,$(ALL)) || exit 1; done
	$(BIN)/auricle-build scene-report $(judged) --scenes '$(ALL)' --name all
	$(BIN)/auricle-build scene-report $(judged) --scenes '$(SCENES)' --name home $(if $(ESC10),--model 'esc10=$(ESC10)')
	$(BIN)/auricle-build scene-report $(judged) --scenes '$(PHONES)' --name phones $(FAR:%=--label %)

soak: $(VENV)/.stamp-dev $(VENV)/.stamp-build
	$(BIN)/python -m pytest -m soak -s --timeout 0

# An environment of its own: tflite-runtime needs numpy 1 and Python <= 3.11, and LiteRT must not be found beside it.
test-tflite: $(VENV)-tflite/.stamp
	$(VENV)-tflite/bin/python -m pytest -q tests/daemon/model/test_bundle.py tests/daemon/hearing/test_replay.py

$(VENV)-tflite/.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)-tflite
	$(VENV)-tflite/bin/pip install -q -e '.[tflite]' pytest pytest-timeout hypothesis jsonschema
	$(VENV)-tflite/bin/pip uninstall -q -y ai-edge-litert
	touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "auricle needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "this Python cannot make environments; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-runtime: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml $(VENV)/.stamp-runtime
	$(BIN)/python -m pip install -q -e '.[dev,plot,micro,parquet,mqtt,metrics,notify,dask,web]'
	@touch $@

$(VENV)/.stamp-bench: pyproject.toml $(VENV)/.stamp-dev
	$(BIN)/python -m pip install -q -e '.[bench]'
	@touch $@

# The model side is wanted, not needed: its tests skip by name where TensorFlow cannot be had.
$(VENV)/.stamp-build: pyproject.toml $(VENV)/.stamp-dev
	@if [ "$$(df -Pk . | awk 'NR == 2 {print $$4}')" -lt 4000000 ]; then \
	  echo "less than 4 GB are free: TensorFlow is left out, the model side's tests will skip"; \
	elif ! $(BIN)/python -m pip install -q --dry-run --no-deps --only-binary :all: 'tensorflow>=2.16' >/dev/null 2>&1; then \
	  echo "pip has no TensorFlow for this machine: it is left out, the model side's tests will skip"; \
	else $(BIN)/python -m pip install -q -e '.[build]'; fi
	@touch $@

# A folder that Home Assistant builds an add-on of.
addon: $(BIN)/python
	rm -rf build/addon
	mkdir -p build/addon
	cp addon/* build/addon/
	$(BIN)/python -m pip wheel -q --no-deps -w build/addon .

install: install-program install-units install-config
	@"$(DESTDIR)$(PREFIX)"/bin/python -c 'import sounddevice' 2>/dev/null \
	  || echo "microphones will not be heard: PortAudio is missing; on Debian and Ubuntu: apt-get install libportaudio2" >&2
	@echo "installed; look at /etc/auricle/auricle.yaml, try $(PREFIX)/bin/auricle doctor, then"
	@echo "    systemctl enable --now auricle"

# Writes `[mqtt]` for pip, of what is asked for now and what was before.
define CHOOSE_EXTRAS
import pathlib, re, sys, tomllib
asked, kept = sys.argv[1], pathlib.Path(sys.argv[2])
known = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
before = kept.read_text() if kept.exists() else ""
wanted = {name: None for text in (before, asked) for name in re.findall(r"[^\[\], \n]+", text)}
for name in wanted:
    if name not in known:
        sys.exit(f"EXTRAS: {name!r} is not known; use {', '.join(known)}")
kept.write_text(f"[{','.join(wanted)}]" if wanted else "")
endef
export CHOOSE_EXTRAS

install-program:
	@$(SERVICE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "auricle needs Python 3.11 or later; try: make install SERVICE_PYTHON=/usr/bin/python3.12" >&2; exit 1; }
	@$(SERVICE_PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "this Python cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@case "$$($(SERVICE_PYTHON) -c 'import sys; print(sys.base_prefix)')" in /root/*|/home/*) \
	  echo "the service cannot see a Python in /root or /home; use SERVICE_PYTHON=/usr/bin/python3" >&2; exit 1;; esac
	$(SERVICE_PYTHON) -m venv "$(DESTDIR)$(PREFIX)"
	@"$(DESTDIR)$(PREFIX)/bin/python" -c "$$CHOOSE_EXTRAS" "$(EXTRAS)" "$(DESTDIR)$(PREFIX)/extras"
	"$(DESTDIR)$(PREFIX)/bin/python" -m pip install -q --upgrade ".$$(cat "$(DESTDIR)$(PREFIX)/extras")"
	@# What pip wrote knows the place where it was made; it shall know the one where it runs.
	$(if $(DESTDIR),grep -rlIF "$(DESTDIR)" "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/pyvenv.cfg" \
	  | xargs sed -i 's|$(DESTDIR)$(PREFIX)|$(PREFIX)|g')

install-units:
	install -d "$(DESTDIR)$(UNITDIR)/system" "$(DESTDIR)$(UNITDIR)/user"
	for unit in system/auricle.service system/auricle@.service $(BRIDGES:%=system/%) user/auricle.service; do \
	  sed 's|/opt/auricle|$(PREFIX)|g' "systemd/$${unit#system/}" > "$(DESTDIR)$(UNITDIR)/$$unit" \
	    && chmod 644 "$(DESTDIR)$(UNITDIR)/$$unit" || exit 1; done
	$(call systemctl,daemon-reload)

install-config:
	install -d "$(DESTDIR)/etc/auricle/conf.d"
	[ -e "$(DESTDIR)/etc/auricle/auricle.yaml" ] \
	  || install -m 644 config/auricle.yaml "$(DESTDIR)/etc/auricle/auricle.yaml"

uninstall:
	@[ ! -e "$(DESTDIR)$(PREFIX)" ] || [ -e "$(DESTDIR)$(PREFIX)/pyvenv.cfg" ] \
	  || { echo "$(DESTDIR)$(PREFIX) was not made by make install: left as it is" >&2; exit 1; }
	-$(call systemctl,disable --now auricle.service $(BRIDGES))
	rm -rf "$(DESTDIR)$(PREFIX)"
	rm -f "$(DESTDIR)$(UNITDIR)"/system/auricle.service "$(DESTDIR)$(UNITDIR)"/system/auricle@.service \
	  $(BRIDGES:%="$(DESTDIR)$(UNITDIR)"/system/%) \
	  "$(DESTDIR)$(UNITDIR)"/user/auricle.service
	$(call systemctl,daemon-reload)
	@echo "kept: /etc/auricle and /var/lib/private/auricle, and those of bridges"

clean:
	rm -rf $(VENV) $(VENV)-tflite
