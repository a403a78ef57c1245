#!/bin/bash
# Called by Kubernetes before it stops an executor: tells it to move its data away, and
# waits until it has ended. Kubernetes stops waiting after the grace period.
set -u
kill -s PWR 1
while kill -0 1 2>/dev/null; do
    sleep 1
done
