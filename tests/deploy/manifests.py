"""Reads what stands in kubernetes/."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "kubernetes"

Manifest = dict[str, Any]


def manifests(name: str) -> list[Manifest]:
    return [*yaml.safe_load_all((KUBERNETES / name).read_text())]


def the(kind: str) -> Manifest:
    (found,) = (manifest for manifest in manifests("daemonset.yaml") if manifest["kind"] == kind)
    return found
