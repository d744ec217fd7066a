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

packages() {
    if [ ! -d "$1/node_modules" ] || [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ]; then
        echo "Installing $2 ..."
        (cd "$1" && npm ci --silent)
    fi
}

command -v npm >/dev/null || debian "Node" nodejs npm
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || debian "Chromium" chromium fonts-dejavu-core
packages ../../clients/typescript "what the TypeScript client needs"
packages ../../examples/nextjs "Next.js"
packages . "Better Auth, Playwright and TypeScript"
