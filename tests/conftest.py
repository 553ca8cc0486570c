"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Shared and slow machines: a property that holds late still holds.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("patient", patient, derandomize=True, max_examples=50)
# `pytest --hypothesis-profile=thorough` looks further, and elsewhere each time.
settings.register_profile("thorough", patient, max_examples=2000)
settings.load_profile("patient")
