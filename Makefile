# Everything happens in the folder .venv, which the first target you ask for sets up from requirements.txt.

PYTHON   ?= python3
CHAPTERS ?=
LINES    ?=
EDITION  ?= full

READY := .venv/ready
RUN   := .venv/bin
PIP   := $(RUN)/python -m pip --disable-pip-version-check install

# Another version of Python, named on purpose, begins a new .venv.
VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
ifneq ($(origin PYTHON),file)
NAMED := $(shell $(PYTHON) $(VERSION) 2>&1)
PRESENT := $(shell $(RUN)/python $(VERSION) 2>&1)
ifneq ($(filter-out $(PRESENT),$(filter 3.%,$(NAMED))),)
$(shell rm -f $(READY))
endif
endif

.DEFAULT_GOAL := help
.PHONY: help book test lab execute test-recorded bench clean

help:
	@echo "Convolutional networks, from kernel to classifier"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do \
		printf '  make %-14s %s\n' "$$target" "$$what"; done
	@echo
	@echo "The first of them sets up the folder .venv: some minutes, 3 GB. PYTHON=python3.12 chooses the Python."

# Each edition has a folder of its own, so that nothing of the one is left in the other.
BOOK = $(if $(filter full,$(EDITION)),.,_build/$(EDITION))

book: $(READY)  ## build the book into _build/html, or without solutions: make book EDITION=student
	COURSE_EDITION=$(EDITION) $(RUN)/jupyter-book build . --path-output $(BOOK) -W -n --keep-going
	@echo
	@$(RUN)/python -c 'from pathlib import Path; \
		print("The book is ready. Open", Path("$(BOOK)/_build/html/index.html").resolve().as_uri())'

test: $(READY)  ## check all that must hold on any machine, without network or data
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	$(RUN)/pytest --numprocesses=2 --dist=loadfile --nbval-lax chapters tests course_lib

lab: $(READY)  ## open the chapters in JupyterLab
	$(RUN)/jupyter lab chapters

execute: $(READY)  ## run every notebook in place on the real data, or those in CHAPTERS="a.ipynb b.ipynb"
	$(RUN)/python -m course_lib.book.execute $(CHAPTERS)

test-recorded: $(READY)  ## run every notebook on the data in COURSE_DATA_DIR and compare every text output
	@test -n "$$COURSE_DATA_DIR" || { echo "Set COURSE_DATA_DIR to the folder that holds mnist.npz and" \
		"cifar10.npz, for example: COURSE_DATA_DIR=~/data make test-recorded"; exit 2; }
	$(RUN)/pytest --numprocesses=2 --dist=loadfile --nbval chapters

bench: $(READY)  ## time the library beside its peers, or a part of it: make bench LINES="convolution fit"
	$(RUN)/python -m benchmarks $(LINES)

clean:  ## remove all that was made here, .venv included; what was downloaded or trained stays
	rm -rf .venv _build course_lib.egg-info __pycache__ .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find course_lib tests benchmarks chapters -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

# An interrupted set-up leaves no $(READY), and the next one starts from an empty .venv.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "The course needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	test -e $@ || $(PYTHON) -m venv --clear .venv
	@rm -f $@
	$(PIP) --requirement requirements.txt
	$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@
