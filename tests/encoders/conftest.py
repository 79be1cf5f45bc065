"""The tiny checkpoints of both families, shared with the supervisors' tests."""

from tests.supervisors.conftest import checkpoint, tiny_folders  # noqa: F401 - fixtures
