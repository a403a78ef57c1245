"""What the tests share with those of deploy/kubernetes."""

from tests.kubernetes.conftest import control_plane, image

__all__ = ["control_plane", "image"]
