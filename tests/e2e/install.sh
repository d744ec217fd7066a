#!/bin/sh
# Installs what the tests here need and a machine may lack: Node, Chromium, and the packages of package-lock.json.
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
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" $3 >/dev/null
}

command -v npm >/dev/null || debian "Node" nodejs npm
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || debian "Chromium" chromium fonts-dejavu-core
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    echo "Installing Better Auth and Playwright ..."
    npm ci --silent
fi
