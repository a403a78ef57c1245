#!/bin/sh
# Find a Chromium and a PostgreSQL server for the tests; install Debian's if missing.
set -eu

has_chromium() {
    [ -n "${CHURN_CHROMIUM:-}" ] && return
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

# Debian keeps the server's programs outside of PATH.
has_postgresql() {
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

missing=""
has_chromium || missing="chromium"
has_postgresql || missing="$missing postgresql"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Debian's packages for the tests:" $missing
    apt-get update -qq
    # shellcheck disable=SC2086  # One argument per package.
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    exit 0
fi
echo "The tests need" $missing "(Debian: apt-get install" $missing")." >&2
echo "CHURN_CHROMIUM can name a Chrome or Chromium elsewhere." >&2
exit 1
