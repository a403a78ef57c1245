#!/bin/sh
# Builds the programs of a Kubernetes control plane (etcd, API server, controllers,
# scheduler) and kubectl from their Go modules into a cache outside this repository:
# $CONTROL_PLANE_HOME, by default ~/.cache/churn/kubernetes-<version>.
#
# tests/kubernetes/modules has the versions and checksums of the modules.
set -eu

modules=$(cd "$(dirname "$0")/../tests/kubernetes/modules" && pwd)
version=$(awk '$1 == "k8s.io/kubernetes" { print substr($2, 2) }' \
    "$modules/kubernetes/go.mod")
home=${CONTROL_PLANE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/churn/kubernetes-$version}
programs="kube-apiserver kubectl kube-scheduler kube-controller-manager"

# The checksums of what was built are written last.
if cat "$modules"/*/go.sum | cmp -s - "$home/go.sum"; then
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "Kubernetes is built with Go: install Go 1.26 or later." >&2
    exit 1
fi

echo "== Building Kubernetes $version into $home (once, some 10 minutes of CPU time)"
mkdir -p "$home"
# API server and kubectl tell each other their version.
at=k8s.io/component-base/version
flags="-s -w -X $at.gitVersion=v$version -X $at.gitMajor=${version%%.*}"
flags="$flags -X $at.gitMinor=$(echo "$version" | cut -d. -f2)"
build() { # folder of the module, package, program
    (cd "$modules/$1" && CGO_ENABLED=0 go build -mod=readonly -trimpath \
        -buildvcs=false -ldflags "$flags" -o "$home/$3" "$2")
}
build etcd go.etcd.io/etcd/server/v3 etcd
for program in $programs; do
    build kubernetes "k8s.io/kubernetes/cmd/$program" "$program"
done
cat "$modules"/*/go.sum >"$home/go.sum"
