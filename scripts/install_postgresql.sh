#!/bin/sh
# Installs PostgreSQL's server programs, which tests start themselves, on Debian and
# Ubuntu. Called by `make test` and `make test-airflow`.
set -eu

if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null
then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "PostgreSQL is needed: install its server programs (initdb, postgres)." >&2
    exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update -qq
# No cluster: the tests make their own.
$as_root apt-get install -y -qq --no-install-recommends postgresql-common
$as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
    /etc/postgresql-common/createcluster.conf
$as_root apt-get install -y -qq --no-install-recommends postgresql
