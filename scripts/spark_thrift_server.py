"""Start a Spark Thrift Server from the PyPI package and wait until it ends.

It has the settings of the target `spark` in profiles.yml and reads the same environment
variables, so that both targets use the same tables.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jinja2
import pyspark
import yaml

# Finds a Java runtime if the machine has none.
import dbt_local_python  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]

SERVER = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"

# Settings that are given by other options. ANSI mode is the server's default, and
# nothing depends on it.
_EXCLUDED = ("spark.master", "spark.app.name", "spark.sql.ansi.enabled")


def settings() -> dict[str, str]:
    """Read the settings of the target `spark`."""
    profiles = yaml.safe_load((ROOT / "profiles.yml").read_text())
    parameters = profiles["churn"]["outputs"]["spark"]["server_side_parameters"]
    environment = jinja2.Environment()
    environment.globals["env_var"] = os.environ.get
    return {
        name: environment.from_string(str(value)).render()
        for name, value in parameters.items()
    }


def command(port: str) -> list[str]:
    """Return the command that starts the server on the loopback address."""
    parameters = settings()
    options = {
        name: value for name, value in parameters.items() if name not in _EXCLUDED
    }
    options["spark.hadoop.hive.server2.thrift.port"] = port
    options["spark.hadoop.hive.server2.thrift.bind.host"] = "127.0.0.1"
    # Classes of the fetched packages must outlive a connection: Spark closes the class
    # loader of a session when its connection ends.
    options["spark.driver.extraClassPath"] = str(Path.home() / ".ivy2.5.2/jars/*")
    submit = Path(pyspark.__path__[0]) / "bin" / "spark-submit"
    configured = [f"--conf={name}={value}" for name, value in options.items() if value]
    return [
        str(submit),
        *("--class", SERVER, "--master", parameters["spark.master"], "--name", "churn"),
        *configured,
        "spark-internal",
    ]


if __name__ == "__main__":
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["SPARK_HOME"] = pyspark.__path__[0]
    arguments = command(os.environ.get("CHURN_SPARK_THRIFT_PORT", "10000"))
    os.execv(arguments[0], arguments)
