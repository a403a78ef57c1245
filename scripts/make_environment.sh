#!/bin/sh
# Builds the Python environment $VENV from the lock file named as argument,
# with nothing but Python itself: `make` calls it.
set -eu

lock=$1

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
then
    echo "Python 3.11 or newer is needed: install it, or name it with" \
        "\`make PYTHON=/path/to/python3 ...\`." >&2
    exit 1
fi

if [ ! -x "$VENV/bin/python" ]; then
    echo "== Building the Python environment in $VENV (once, about a minute)"
    if ! "$PYTHON" -m venv "$VENV" >/dev/null 2>&1; then
        rm -rf "$VENV"
        echo "Python cannot make virtual environments: install its venv" \
            "module (Debian and Ubuntu: apt-get install python3-venv)." >&2
        exit 1
    fi
fi

echo "== Installing the packages of $lock"
# The lock is complete, so pip need not resolve; every file has its hash.
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --no-deps --requirement "$lock"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --editable .
