"""A toy checkout for each test."""

from tests.unit.sweeps.conftest import toy

__all__ = ["toy"]
