#!/bin/sh
# Find bubblewrap, which runs containers as processes in tests; install Debian's if missing.
set -eu

if command -v bwrap >/dev/null; then
    exit 0
fi
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Debian's bubblewrap for the tests of the image"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends bubblewrap
    exit 0
fi
echo "The tests of the image need bubblewrap (Debian: apt-get install bubblewrap)." >&2
exit 1
