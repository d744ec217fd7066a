#!/bin/sh
# Installs what measuring needs: wrk, Node, and the servers compared with, pinned by hash, in an environment of their own.
set -eu
cd "$(dirname "$0")"

refuse() {
    echo "$1" >&2
    exit 1
}

debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || refuse "$1 is missing: install it first."
    echo "Installing $1 ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $2 >/dev/null
}

command -v wrk >/dev/null || debian "wrk" wrk
command -v npm >/dev/null || debian "Node" "nodejs npm"
node -e 'process.exit(parseInt(process.version.slice(1)) < 20 ? 1 : 0)' || refuse "Node 20 or newer is needed."
if [ ! -d fastify/node_modules ] || [ fastify/package-lock.json -nt fastify/node_modules/.package-lock.json ]; then
    echo "Installing Fastify and node-postgres ..."
    (cd fastify && npm ci --silent)
fi
if [ ! -e ../.venv/installed ] || [ python/requirements.txt -nt ../.venv/installed ]; then
    echo "Installing FastAPI with SQLModel, and Litestar ..."
    ../../.venv/bin/python -m venv --clear ../.venv
    ../.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r python/requirements.txt
    touch ../.venv/installed
fi
