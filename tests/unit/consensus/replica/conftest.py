"""Replicas among forged peers check the same signatures again and again, as simulations do."""

from tests.simulation.conftest import _remembered_signatures

__all__ = ["_remembered_signatures"]
