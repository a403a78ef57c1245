#!/bin/sh
# Find a Chromium and a PostgreSQL server for the tests; install Debian's if missing.
set -eu

"$(dirname "$0")/install_postgresql.sh"

[ -z "${CHURN_CHROMIUM:-}" ] || exit 0
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Debian's chromium for the browser tests"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium
    exit 0
fi
echo "The browser tests need Chromium: install it (Debian: apt-get install chromium)," >&2
echo "or set CHURN_CHROMIUM to the path of a Chrome or Chromium." >&2
exit 1
