#!/bin/sh
# Writes the lock files from pyproject.toml and requirements/*.in. Needs uv (pip install uv). The files hold no addresses.
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 "$@"; }
lock --generate-hashes --extra dev --extra hub pyproject.toml --output-file requirements/dev.txt
lock --generate-hashes requirements/cloud.in --output-file requirements/cloud.txt
# The functions' packages: the versions of the development lock; the compiler's without what the runtime layer has.
lock requirements/worker.in --constraint requirements/dev.txt --output-file requirements/worker.txt
lock requirements/worker.in requirements/compiler.in --constraint requirements/dev.txt --output-file requirements/compiler.all
grep --invert-match --line-regexp --fixed-strings --file requirements/worker.txt requirements/compiler.all > requirements/compiler.txt
rm requirements/compiler.all
