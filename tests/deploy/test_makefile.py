"""What make says on a machine where it cannot go on."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make: apt-get install make")


def interpreter(path: Path, version: str, *, has_venv: bool) -> Path:
    """A stand-in that answers what the Makefile asks of an interpreter."""
    old = version < "3.11"
    path.write_text(
        f'#!/bin/sh\ncase "$2" in\n*print*) echo {version};;\n'
        f"*sys.exit*) exit {int(old)};;\n*ensurepip*) exit {int(not has_venv)};;\nesac\n"
    )
    path.chmod(0o755)
    return path


def make_run(venv: Path, python: Path | str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", "run", f"PYTHON={python}", f"VENV={venv}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_old_interpreter(tmp_path: Path) -> None:
    done = make_run(tmp_path / "venv", interpreter(tmp_path / "python3", "3.10", has_venv=True))

    assert done.returncode == 2
    assert f"{tmp_path}/python3 is Python 3.10, 3.11 or newer is needed: make PYTHON=" in done.stderr


def test_no_venv_module(tmp_path: Path) -> None:
    done = make_run(tmp_path / "venv", interpreter(tmp_path / "python3", "3.12", has_venv=False))

    assert done.returncode == 2
    assert f"{tmp_path}/python3 has no venv module: apt-get install python3-venv" in done.stderr


def test_no_interpreter(tmp_path: Path) -> None:
    done = make_run(tmp_path / "venv", "python-that-is-not-there")

    assert done.returncode == 2
    assert "There is no python-that-is-not-there: apt-get install python3 python3-venv" in done.stderr


def test_help_lists_the_targets() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)

    for target in ("run", "test", "check", "e2e", "bench", "resilience", "fuzz", "docs", "lock", "clean"):
        assert f"make {target} " in done.stdout
