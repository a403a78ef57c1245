#!/bin/sh
# Find kubectl or kustomize, which render the manifests; build kustomize with Go if
# there is neither, into the folder bin of the Python environment $VENV.
set -eu

for name in kubectl kustomize "${VENV:-.venv}/bin/kustomize"; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
if command -v go >/dev/null; then
    echo "Building kustomize, once"
    GOBIN=$(realpath "${VENV:-.venv}/bin") \
        go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.0
    exit 0
fi
echo "The manifests are rendered by kubectl or kustomize: install one of them, or Go." >&2
exit 1
