#!/bin/sh
# Installs what the faults need and a machine may lack: PgBouncer.
set -eu
if [ ! -x /usr/sbin/pgbouncer ] && ! command -v pgbouncer >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "PgBouncer is missing: install it first." >&2
        exit 1
    fi
    echo "Installing PgBouncer ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null
fi
