"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# Shared and slow machines: a property that holds late still holds.
settings.register_profile("patient", deadline=None, derandomize=True)
settings.load_profile("patient")
