"""Runs the agent under cProfile, which records only between two signals: start and drain stay out of it.

`python -m bench.profiled FILE run CONFIG`; START begins the record, FINISH ends it and writes FILE.
"""

import cProfile
import runpy
import signal
import sys
from pathlib import Path

START = signal.SIGRTMIN
FINISH = signal.SIGRTMIN + 1


def main() -> None:
    """Become the agent with the rest of the command line as its own."""
    target = Path(sys.argv.pop(1))
    part = target.with_suffix(".part")
    profile = cProfile.Profile()

    def start(_number: int, _frame: object) -> None:
        profile.enable()

    def finish(_number: int, _frame: object) -> None:
        profile.disable()
        profile.dump_stats(part)
        part.replace(target)  # so that the reader never sees half a file

    signal.signal(START, start)
    signal.signal(FINISH, finish)
    runpy.run_module("nodeagent", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
