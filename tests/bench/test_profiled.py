"""The profiler records what runs between its two signals, and nothing else."""

import marshal
import os
import subprocess
import sys
from pathlib import Path

from bench.profiled import FINISH, START

STAND_IN = """
import signal, sys

def before(): pass
def between(): pass
def after(): pass

print(*sys.argv[1:], flush=True)
before()
signal.raise_signal(int(sys.argv[1]))
between()
signal.raise_signal(int(sys.argv[2]))
after()
"""


def test_only_what_runs_between_the_signals_is_recorded(tmp_path: Path) -> None:
    package = tmp_path / "nodeagent"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    target = tmp_path / "profile"
    words = [str(int(START)), str(int(FINISH))]

    ended = subprocess.run(
        [sys.executable, "-m", "bench.profiled", str(target), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, " ".join(words) + "\n"), ended.stderr
    names = {name for _, _, name in marshal.loads(target.read_bytes())}
    assert "between" in names
    assert not names & {"before", "after"}
