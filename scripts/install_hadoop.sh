#!/bin/sh
# Fetches Hadoop's mini cluster and a Hive metastore server with Maven into a cache
# outside this repository: $HADOOP_MINICLUSTER_HOME and $HIVE_METASTORE_HOME, by default
# hadoop-minicluster-<version> and hive-metastore-<version> in ~/.cache/churn.
#
# The version of Hadoop is that of the Hadoop client in PySpark.
set -eu

hadoop=3.4.2
hive=3.1.3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/churn
hadoop_home=${HADOOP_MINICLUSTER_HOME:-$cache/hadoop-minicluster-$hadoop}
hive_home=${HIVE_METASTORE_HOME:-$cache/hive-metastore-$hive}
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

if [ -d "$hadoop_home" ] && [ -d "$hive_home" ]; then
    exit 0
fi
if ! command -v mvn >/dev/null; then
    echo "Hadoop's mini cluster is fetched with Maven: install it (Debian and" \
        "Ubuntu: apt-get install maven)." >&2
    exit 1
fi

mkdir -p "$(dirname "$hadoop_home")" "$(dirname "$hive_home")"
work=$(mktemp -d "$hadoop_home.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Runs Maven; its arguments after the first, which names what is fetched.
maven() {
    what=$1
    shift
    if ! mvn --quiet --batch-mode --strict-checksums "$@" >"$work/maven.log" 2>&1; then
        tail -n 5 "$work/maven.log" >&2
        echo "Maven could not fetch $what: check that it reaches a repository" \
            "(settings.xml)." >&2
        exit 1
    fi
}

# Copies the jars of some dependencies, given as XML, to a folder.
copy_jars() {
    cat >"$work/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>jars</artifactId><version>1</version>
  <dependencies>$3</dependencies>
</project>
END
    maven "$1" --file "$work/pom.xml" "$plugin:copy-dependencies" \
        -DoutputDirectory="$2"
    "$(dirname "$0")/check_downloads.sh" "$2"/*.jar
}

# Prints a dependency.
jar() {
    echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId>" \
        "<version>$3</version></dependency>"
}

# Each folder is moved last, in one step, so that an existing one is always complete.
if [ ! -d "$hadoop_home" ]; then
    echo "== Fetching Hadoop's mini cluster $hadoop (once, 95 MB)"
    # The mini cluster loads mockito, and its POM does not name it.
    copy_jars "org.apache.hadoop:hadoop-client-minicluster:$hadoop" "$work/hadoop" \
        "$(jar org.apache.hadoop hadoop-client-minicluster "$hadoop")
         $(jar org.mockito mockito-core 2.28.2)"
    mv "$work/hadoop" "$hadoop_home"
fi
if [ ! -d "$hive_home" ]; then
    echo "== Fetching the Hive metastore $hive (once, 28 MB)"
    artifact=org.apache.hive:hive-standalone-metastore:$hive:tar.gz:bin
    maven "$artifact" "$plugin:get" -Dartifact="$artifact" -Dtransitive=false
    maven "$artifact" "$plugin:copy" -Dartifact="$artifact" \
        -DoutputDirectory="$work/archive"
    "$(dirname "$0")/check_downloads.sh" "$work"/archive/*.tar.gz
    mkdir "$work/hive"
    tar --extract --gzip --file "$work"/archive/*.tar.gz --directory "$work/hive" \
        --strip-components=1
    # What a whole Hadoop has, and its client has not.
    copy_jars commons-collections "$work/commons" \
        "$(jar commons-collections commons-collections 3.2.2)
         $(jar commons-cli commons-cli 1.9.0)
         $(jar commons-io commons-io 2.18.0)"
    mv "$work"/commons/*.jar "$work/hive/lib"
    mv "$work/hive" "$hive_home"
fi
