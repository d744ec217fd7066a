#!/bin/sh
# Creates .venv and installs the development dependencies, pinned by hash. Called by make.
#
# uv is fast, and pip is the fallback: behind a proxy that intercepts TLS, pip may know a certificate that uv does not.
set -eu
python=${1:-python3}

refuse() {
    echo "$1" >&2
    exit 1
}

command -v "$python" >/dev/null || refuse "$python was not found: install Python 3.11 or newer, or name it, like make run PYTHON=python3.12"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "Python 3.11 or newer is required, but $python is $("$python" --version): name another one, like make run PYTHON=python3.12"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    refuse "Python's venv module is missing: install it first, on Debian and Ubuntu with: apt-get install python3-venv"
[ -w . ] || refuse "$(pwd) is not writable: change its owner, or clone into a folder of your own."

pip() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

uv() { # the system's certificates, like pip, or those in SSL_CERT_FILE
    UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} .venv/bin/uv pip install --quiet --python .venv/bin/python "$@"
}

install_with_uv() {
    sed -n '/^uv==/,/[^\\]$/p' requirements-dev.txt >.venv/uv.txt &&
        pip --require-hashes -r .venv/uv.txt &&
        uv --compile-bytecode --require-hashes -r requirements-dev.txt && # compiled now: the first start is as fast as the second
        uv --no-deps --no-build-isolation -e .
}

install_with_pip() {
    pip --require-hashes -r requirements-dev.txt && pip --no-deps --no-build-isolation -e .
}

with_dots() { # shows that something is happening
    (while :; do printf . && sleep 1; done) &
    dots=$!
    trap 'kill $dots' EXIT
    trap 'exit 130' INT TERM
    status=0
    "$@" || status=$?
    kill $dots
    trap - EXIT
    echo
    return $status
}

[ -z "$(cat .venv/installed 2>/dev/null)" ] || [ "$(cat .venv/installed)" = "$(pwd -P)" ] || echo "The folder was moved."
echo "Creating .venv ..."
"$python" -m venv --clear .venv
printf "Installing %s packages, which takes up to half a minute " "$(grep -c '^[^ #].*==' requirements-dev.txt)"
if ! with_dots install_with_uv 2>.venv/uv.log; then
    echo "uv failed: $(grep -v '^ *$' .venv/uv.log | tail -n 1)"
    printf "Installing with pip instead, which takes up to two minutes "
    with_dots install_with_pip || refuse "Installation failed. The output of uv is in .venv/uv.log."
fi
pwd -P >.venv/installed # make compares it, and installs again where the folder was moved
echo "Installed."
