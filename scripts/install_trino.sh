#!/bin/sh
# Fetches Trino with Maven and unpacks it into a cache outside this repository:
# $TRINO_HOME, by default ~/.cache/churn/trino-server-<version>. Keeps only the
# plugins that the tests need.
#
# 476 is the last version that Maven Central has as a server.
set -eu

version=476
home=${TRINO_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/churn/trino-server-$version}

if [ -d "$home/plugin/hive" ] && [ -d "$home/plugin/iceberg" ]; then
    exit 0
fi
if ! command -v mvn >/dev/null; then
    echo "Trino is fetched with Maven: install it (Debian and Ubuntu: apt-get" \
        "install maven), or set TRINO_URL to a Trino server that is running." >&2
    exit 1
fi

mkdir -p "$(dirname "$home")"
work=$(mktemp -d "$home.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "== Fetching Trino $version (once, 821 MB)"
if ! mvn --quiet --batch-mode --strict-checksums \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact="io.trino:trino-server:$version:tar.gz" \
    -DoutputDirectory="$work" >"$work/maven.log" 2>&1
then
    tail -n 5 "$work/maven.log" >&2
    echo "Maven could not fetch io.trino:trino-server:$version: check that it" \
        "reaches a repository (settings.xml), or set TRINO_URL to a Trino" \
        "server that is running." >&2
    exit 1
fi

"$(dirname "$0")/check_downloads.sh" "$work/trino-server-$version.tar.gz"
echo "== Unpacking it into $home"
tar -xzf "$work/trino-server-$version.tar.gz" -C "$work"
rm "$work/trino-server-$version.tar.gz"
for plugin in "$work/trino-server-$version/plugin"/*; do
    case ${plugin##*/} in
        hive | iceberg) ;;
        *) rm -rf "$plugin" ;;
    esac
done
# Move it last, in one step, so that an existing folder is always complete.
rm -rf "$home"
mv "$work/trino-server-$version" "$home"
