#!/bin/sh
# Fetches Hadoop's mini cluster with Maven into a cache outside this repository:
# $HADOOP_MINICLUSTER_HOME, by default ~/.cache/churn/hadoop-minicluster-<version>.
#
# The version is that of the Hadoop client in PySpark.
set -eu

version=3.4.2
home=${HADOOP_MINICLUSTER_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/churn/hadoop-minicluster-$version}

if [ -d "$home" ]; then
    exit 0
fi
if ! command -v mvn >/dev/null; then
    echo "Hadoop's mini cluster is fetched with Maven: install it (Debian and" \
        "Ubuntu: apt-get install maven)." >&2
    exit 1
fi

mkdir -p "$(dirname "$home")"
work=$(mktemp -d "$home.XXXXXX")
trap 'rm -rf "$work"' EXIT

cat >"$work/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>minicluster</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.hadoop</groupId>
      <artifactId>hadoop-client-minicluster</artifactId>
      <version>$version</version>
    </dependency>
    <!-- The mini cluster loads it, and its POM does not name it. -->
    <dependency>
      <groupId>org.mockito</groupId><artifactId>mockito-core</artifactId>
      <version>2.28.2</version>
    </dependency>
  </dependencies>
</project>
END
echo "== Fetching Hadoop's mini cluster $version (once, 95 MB)"
if ! mvn --quiet --batch-mode --strict-checksums --file "$work/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$work/jars" >"$work/maven.log" 2>&1
then
    tail -n 5 "$work/maven.log" >&2
    echo "Maven could not fetch org.apache.hadoop:hadoop-client-minicluster:$version:" \
        "check that it reaches a repository (settings.xml)." >&2
    exit 1
fi
"$(dirname "$0")/check_downloads.sh" "$work"/jars/*.jar
# Move it last, in one step, so that an existing folder is always complete.
mv "$work/jars" "$home"
