# The commands of the README. Everything runs in .venv, which is set up from requirements.lock.
PYTHON ?= python3
# Size of the data benchmark: 1 is the full size and takes 15 minutes.
SCALE ?= 0.1
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test test-slow survive survive-sweep lint bench bench-data bench-eval bench-train bench-gpu bench-search pin

repro: .venv/complete
	@nordic-sparse preflight
	dvc repro
	@nordic-sparse report --no-open

# Two tests at a time, on one core each: sharing cores makes both slower.
test: .venv/complete
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile

test-slow: .venv/complete .venv/triton .venv/playwright .venv/launchers .venv/onnx .venv/engines
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile -m slow

survive: .venv/complete
	python -m tests.pipeline.survive

# A sweep of 24 trials, killed at ten random moments: TRIES times.
TRIES ?= 10
survive-sweep: .venv/complete
	python -m tests.pipeline.survive_sweep --tries $(TRIES)

lint: .venv/complete
	ruff check
	ruff format --check
	lint-imports
	mypy

pin: .venv/complete
	nordic-sparse pin

bench: bench-data bench-train

bench-data: .venv/complete
	python benchmarks/data_pipeline.py --scale $(SCALE)

bench-train: .venv/complete
	python benchmarks/splade_head.py
	python benchmarks/training_step.py
	python benchmarks/padding.py

bench-eval: .venv/complete
	python benchmarks/evaluation.py

# Documents of the engines' benchmark, which needs models/final: 100,000 take minutes.
DOCUMENTS ?= 100000
bench-search: .venv/complete .venv/engines
	python benchmarks/search_engines.py --documents $(DOCUMENTS)

bench-gpu: .venv/complete
	python benchmarks/gpu/run.py

# For the tests of the Triton kernel on machines without CUDA; torch for CUDA depends on this version.
.venv/triton: .venv/complete
	.venv/bin/python -m pip install --quiet --disable-pip-version-check 'triton==3.7.1; sys_platform == "linux"'
	@touch $@

# For the tests of the extras tpe, ray, slurm and modal.
.venv/launchers: .venv/complete
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock 'optuna==5.0.0' 'submitit==1.5.4' 'ray==2.60.0' 'modal==1.6.4'
	@touch $@

# For the tests of the extra onnx.
.venv/onnx: .venv/complete
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock 'onnx==1.23.2' 'onnxscript==0.7.2' 'onnxruntime==1.32.0'
	@touch $@

# For the tests of the extras seismic, qdrant-server, opensearch and elasticsearch.
.venv/engines: .venv/complete
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock 'pyseismic-lsr==0.5.4' 'qdrant-client==1.20.0' 'opensearch-py==3.2.0' 'elasticsearch==9.5.1'
	@touch $@

# For the test of the report in a browser. Playwright's own browsers are for other systems; Debian's Chromium serves as well.
.venv/playwright: .venv/complete
	.venv/bin/python -m pip install --quiet --disable-pip-version-check 'playwright==1.65.2'
	@if ! { command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable; } >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; \
	  else echo 'make: the test of the report needs Chromium; install it (Debian: `sudo apt-get install chromium`)' >&2; exit 1; fi; fi
	@touch $@

.venv/complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "make: $(PYTHON) is Python %d.%d; name another with make PYTHON=python3.11 (3.11 to 3.13)" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
