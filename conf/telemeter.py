"""What all telemeters have."""

from __future__ import annotations

from typing import Annotated

from conf.fields import about
from conf.section import Kinded


class Telemeter(Kinded, frozen=True):
    """An exporter of measurements. `/metrics` on the admin port is always there."""

    experimental: Annotated[bool, about("Accepted, never needed.")] = False
