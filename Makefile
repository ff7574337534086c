PYTHON ?= python
TIMES ?= 20

.PHONY: check test core floors steady conformance fuzz studio protos bench docs site soak outages package sbom audit

check:  ## lint, format and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright
	$(PYTHON) -m pyright --verifytypes headrace --ignoreexternal

test:  ## the README's test command
	$(PYTHON) -m pytest -n 4

core:  ## the streaming core alone, in Python's development mode: asyncio's own checks, every warning
	PYTHONDEVMODE=1 $(PYTHON) -m pytest -m core -n 4

protos:  ## generate src/headrace/v2 from protos/ with the pinned, oldest supported tools
	$(PYTHON) tools/protos.py

floors:  ## the streaming core on the oldest supported versions of the core dependencies
	sh tools/floors.sh

steady:  ## the stress and fault tests twenty times in a row, on the newest and the oldest supported versions
	for run in $$(seq $(TIMES)); do $(PYTHON) -m pytest -q -n 4 tests/faults tests/stress || exit 1; done
	sh tools/floors.sh $(TIMES) tests/faults tests/stress

conformance:  ## what takes longer to prove of the transports; python -m tests.stacks.install: what of it needs others
	$(PYTHON) -m tests.support.caselist
	$(PYTHON) -m pytest -n 2 tests/unit/transport/h2 tests/contract
	$(PYTHON) -m pytest -n 2 -m conformance

studio:  ## build Studio's page into the package
	cd studio && npm ci --no-audit --no-fund && npm run build

bench:  ## measure against raw grpc.aio and other clients; write tables and plots into docs/
	$(PYTHON) -m benchmarks --update-docs
	$(PYTHON) -m tools.comparison

soak:  ## what 100,000 calls and 10,000 cancelled streams leave behind
	$(PYTHON) -m benchmarks.soak

outages:  ## five minutes of mixed load while the server is killed every five seconds
	$(PYTHON) -m benchmarks.outages

fuzz:  ## ten minutes of mutated input for all that reads what a server sends
	$(PYTHON) -m fuzz --seconds 600

docs:  ## run every command and example that the documents show
	$(PYTHON) -m pytest -q $$(git ls-files 'tests/*docs*.py' 'tests/*examples*.py')

package:  ## build sdist and wheel into dist/ and check them as the index does
	$(PYTHON) -m build
	$(PYTHON) -m twine check --strict dist/*.tar.gz dist/*.whl
	$(PYTHON) -m check_wheel_contents dist/*.whl

sbom:  ## a software bill of materials (CycloneDX) in dist/ for the wheel alone and with its extras
	$(PYTHON) -m tools.sbom

audit:  ## known vulnerabilities in what the wheel brings, as far as a service answers
	$(PYTHON) -m tools.audit

site:  ## build the documentation site into site/, without network
	$(PYTHON) -m zensical build --strict --clean
