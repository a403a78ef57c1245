#!/bin/sh
# Compares downloaded files with scripts/checksums.sha256. Fails if one differs or has no
# entry. Update the file together with a version:
#   sha256sum FILE >>scripts/checksums.sha256
set -eu

list=$(dirname "$0")/checksums.sha256
for file in "$@"; do
    name=${file##*/}
    expected=$(awk -v name="$name" '$2 == name { print $1 }' "$list")
    if command -v sha256sum >/dev/null; then
        found=$(sha256sum <"$file" | cut -d ' ' -f 1)
    else
        found=$(shasum -a 256 <"$file" | cut -d ' ' -f 1)
    fi
    if [ "$found" != "$expected" ]; then
        echo "$name is not the expected file (SHA-256 $found, expected" \
            "${expected:-none}): delete it, check the repository that it came from," \
            "and fetch it again; after a change of version, update $list." >&2
        exit 1
    fi
done
