#!/bin/sh
# Installs the tools of the tests here, pinned by hash, into an environment of their own.
set -eu
tools=.venv/audit

if [ ! -e $tools/installed ] || [ requirements-audit.txt -nt $tools/installed ]; then
    echo "Installing pip-audit, zizmor and check-jsonschema ..."
    .venv/bin/python -m venv --clear $tools
    UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} \
        .venv/bin/uv pip install --quiet --python $tools/bin/python --require-hashes -r requirements-audit.txt ||
        $tools/bin/python -m pip install --quiet --require-hashes -r requirements-audit.txt
    touch $tools/installed
fi
