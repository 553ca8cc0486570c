"""One search, in a process of its own, because libFuzzer takes it over: `search.py TARGET DIRECTORY... OPTIONS...`."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["nodeagent.http1", "namer", "conf", "h11"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Search until the time is over, or a target breaks."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
