"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# Shared and slow machines: a property that holds late still holds.
settings.register_profile("patient", deadline=None, derandomize=True, max_examples=50)
# `pytest --hypothesis-profile=thorough` looks further, and elsewhere each time.
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("patient")
