#!/bin/sh
# Builds the Python environment $VENV from the lock file given as argument. Needs
# only Python. Called by `make`. With WITHOUT_PROJECT=1, the project itself is not
# installed: Airflow has an environment of its own.
set -eu

lock=$1

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
then
    echo "Python 3.11 or newer is needed: install it, or set its path with" \
        "\`make PYTHON=/path/to/python3 ...\`." >&2
    exit 1
fi

if [ ! -x "$VENV/bin/python" ]; then
    echo "== Building the Python environment in $VENV (once)"
    if ! "$PYTHON" -m venv "$VENV" >/dev/null 2>&1; then
        rm -rf "$VENV"
        echo "Python cannot create virtual environments: install its venv" \
            "module (Debian and Ubuntu: apt-get install python3-venv)." >&2
        exit 1
    fi
fi

install_with_pip() {
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

install_with_uv() {
    "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" "$@"
}

# uv needs a third of pip's time. If uv has no wheel for this machine or finds no index
# (it does not read pip's configuration), pip installs.
echo "== Installing the packages of $lock"
install=install_with_uv
install_with_pip --require-hashes --only-binary :all: \
    --requirement requirements-installer.lock || install=install_with_pip
# The lock is complete and has all hashes, so dependencies need not be resolved.
if ! "$install" --require-hashes --no-deps --requirement "$lock"; then
    echo "== Retrying with pip"
    install=install_with_pip
    "$install" --require-hashes --no-deps --requirement "$lock"
fi
[ -z "${WITHOUT_PROJECT:-}" ] || exit 0
# The build backend is pinned with hashes too, so no other one is downloaded.
"$install" --require-hashes --no-deps --requirement requirements-build.lock
"$install" --no-deps --no-build-isolation --editable .
