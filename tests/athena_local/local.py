"""All of it together: AWS, Trino and Athena, and the variables that lead to them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import boto3

from tests.athena_local.aws import LocalAws
from tests.athena_local.endpoint import LocalAthena
from tests.athena_local.trino_server import TrinoServer

REGION = "eu-west-1"
LAKE = "lake"
RESULTS = "athena-results"

# moto takes any credentials; boto3 insists on some, and must not look for real ones.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class LocalCloud:
    """Athena with all it needs, for as long as the ``with`` block lasts.

    With ``TRINO_URL`` set, that server is used. It must have the catalogs that
    `write_configuration` writes, whose S3 and Glue are then served at the port
    ``TRINO_AWS_PORT`` (5000) of this machine.

    Attributes:
        aws: S3, Glue and STS.
        athena: Athena.
        environment: The variables that lead dbt and boto3 to them.
    """

    def __enter__(self) -> LocalCloud:
        self._folder = Path(tempfile.mkdtemp(prefix="athena-local-"))
        self._trino: TrinoServer | None = None
        trino_url = os.environ.get("TRINO_URL")
        port = int(os.environ.get("TRINO_AWS_PORT", "5000")) if trino_url else 0
        self.aws = LocalAws(port)
        try:
            session = boto3.Session(
                _CREDENTIALS["AWS_ACCESS_KEY_ID"],
                _CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
                region_name=REGION,
            )
            self.s3 = session.client("s3", endpoint_url=self.aws.url)
            self.glue = session.client("glue", endpoint_url=self.aws.url)
            for bucket in (LAKE, RESULTS):
                self.s3.create_bucket(
                    Bucket=bucket,
                    CreateBucketConfiguration={"LocationConstraint": REGION},
                )
            if not trino_url:
                self._trino = TrinoServer(self._folder / "trino", self.aws.url, REGION)
                trino_url = self._trino.url
            self.athena = LocalAthena(session, self.aws.url, trino_url)
        except BaseException:
            self._close()
            raise
        self.environment = {
            **_CREDENTIALS,
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_ENDPOINT_URL_ATHENA": self.athena.url,
            "CHURN_TARGET": "athena",
            "ATHENA_REGION": REGION,
            "ATHENA_STAGING_DIR": f"s3://{RESULTS}/",
            "ATHENA_DATA_DIR": f"s3://{LAKE}/tables/",
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.athena.stop()
        self._close()

    def _close(self) -> None:
        if self._trino:
            self._trino.stop()
        self.aws.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
