#!/bin/sh
# Makes .venv and installs everything that development needs into it, pinned by hash. Called by make.
set -eu
python=${1:-python3}

refuse() {
    echo "$1" >&2
    exit 1
}

command -v "$python" >/dev/null || refuse "$python was not found: install Python 3.11 or newer, or name it, like make run PYTHON=python3.12"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "Python 3.11 or newer is needed, and $python is $("$python" --version): name another one, like make run PYTHON=python3.12"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    refuse "Python's venv module is missing: install it first, on Debian and Ubuntu with: apt-get install python3-venv"
[ -w . ] || refuse "$(pwd) cannot be written: change its owner, or clone into a folder of your own."

echo "Creating .venv ..."
"$python" -m venv --clear .venv
echo "Installing, which takes up to half a minute ..."
sed -n '/^uv==/,/[^\\]$/p' requirements-dev.txt >.venv/uv.txt
if .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r .venv/uv.txt 2>/dev/null; then
    # Compiled here, because the first start should be as quick as the second.
    .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python --require-hashes -r requirements-dev.txt
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
else
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --require-hashes -r requirements-dev.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
touch .venv/installed
echo "Installed."
