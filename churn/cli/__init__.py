"""The command line: ``churn COMMAND``, thin wrappers of the library's functions.

One module per command. A module imports only click when it is imported, so that
``churn --help`` and shell completion are fast.
"""
