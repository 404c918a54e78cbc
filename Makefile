# The few commands worth remembering. Everything else is `python -m relay --help` and `python -m workers --help`.

# The first Python that is new enough. Running it is the test: a name on the PATH may be an empty shim.
PYTHON ?= $(shell for name in python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
IN_VENV = .venv/bin/python

.PHONY: help demo test bench chaos lock words docs sbom
.DEFAULT_GOAL := help

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed ## everything at once with sample events, until Ctrl-C; ARGS=--once ends by itself
	@$(IN_VENV) -m relay demo $(ARGS)

test: ## what CI runs; `bash .ci/run lint` (or types, tests) runs a part
	@bash .ci/run

bench: ## how fast and how large it is, as tables, in ten minutes; ARGS=receiving a part, ARGS=--help names them
	@bash .ci/run install
	@PYTHONPATH=. $(IN_VENV) tests/bench/run.py $(ARGS)

chaos: ## what it survives, as a table
	@bash .ci/run install
	@PYTHONPATH=. $(IN_VENV) tests/chaos/run.py $(ARGS)

words: ## write into every relay/web/translations/*.po what pages say now: what is new waits there for its translation
	@bash .ci/run install
	@PYTHONPATH=. $(IN_VENV) tests/support/words.py

docs: ## write what the guide shows of the code: tables of settings, commands, endpoints and profiles, and each page's contents
	@bash .ci/run install
	@PYTHONPATH=. $(IN_VENV) tests/support/reference.py

sbom: ## write var/relay.cdx.json: every package that the product runs on, with version and hashes, as CycloneDX
	@bash .ci/run install
	@PYTHONPATH=. $(IN_VENV) tests/support/sbom.py

lock: ## compile the files of requirements anew, with hashes; UPGRADE=--upgrade takes newer versions
	@bash .ci/run install
	@$(call compile,config/requirements.in,requirements.txt)
	@$(call compile,config/otel-requirements.in,config/otel-requirements.txt)
	@$(call compile,config/mcp-requirements.in,config/mcp-requirements.txt)
	@$(call compile,tests/requirements.in,tests/requirements.txt)

# A virtual environment of our own with what requirements.txt says, made again when that changes. .ci/run adds to it.
.venv/installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found on the PATH" >&2; exit 1; }
	@echo "setting up .venv (once; a minute at most)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "no virtual environment could be made: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@$(IN_VENV) -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

# What pip is told about its index (a mirror, a folder of wheels) is this machine's business: none of it is written.
compile = $(IN_VENV) -m piptools compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options $(UPGRADE) \
	--output-file=$(2) $(1) \
	&& { printf '%s\n' '\# Every package with its version and hashes, made by `make lock` from $(1): not edited by hand.'; \
		grep -v '^\# Every package' $(2); } > $(2).new && mv $(2).new $(2)
