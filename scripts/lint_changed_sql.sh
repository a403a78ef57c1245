#!/bin/sh
# Lints the SQL files that differ from the last commit, or those given as arguments.
# `make lint` lints all files: sqlfluff compiles each one with dbt, which takes minutes.
set -eu

if [ "$#" -eq 0 ]; then
    # shellcheck disable=SC2046  # The names of SQL files have no spaces.
    set -- $({
        git diff --name-only --diff-filter=d HEAD
        git ls-files --others --exclude-standard
    } | grep -E '^(models|tests/data)/.*\.sql$' || true)
fi
[ "$#" -eq 0 ] || "${BIN:-.venv/bin}/sqlfluff" lint --disable-progress-bar "$@"
