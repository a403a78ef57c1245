"""AWS Athena on this machine, for tests: no account, no network, no cost.

Amazon's S3, Glue and STS come from moto. Athena itself is a small HTTP endpoint in
front of a Trino server, the engine that Athena is built on: statements that Athena
hands to Glue (databases, external tables) go to moto's Glue, all else runs on Trino.
dbt-athena and boto3 talk to all of it as they do to AWS; nothing of them is patched.

``python -m tests.athena_local -- COMMAND`` runs a command in that environment.
"""
