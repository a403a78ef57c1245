#!/bin/bash
# Runs a command; as `executor`, the process that Spark's Kubernetes backend expects:
# it passes its arguments in these variables.
set -euo pipefail

if [ "${1:-}" != executor ]; then
    exec "$@"
fi

spark=$(python -c 'import pyspark; print(pyspark.__path__[0])')
options=()
while IFS='=' read -r -d '' name value; do
    [[ "$name" != SPARK_JAVA_OPT_* ]] || options+=("$value")
done </proc/self/environ
export SPARK_HOME=$spark
# Process 1 of the container, so that it gets the signals of decom.sh.
exec java "${options[@]}" \
    "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CONF_DIR:-/opt/spark/conf}:$spark/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" \
    --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
