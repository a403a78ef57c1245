"""What the tests of deploy/kubernetes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.image import Image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Provide the image, built in a folder."""
    return Image.build(tmp_path_factory.mktemp("image") / "root")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Provide a running control plane, without nodes."""
    with ControlPlane(tmp_path_factory.mktemp("control_plane")) as running:
        yield running
