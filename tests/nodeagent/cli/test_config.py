"""A configuration that cannot be used ends every command in the same way."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from nodeagent.cli.config import read_config


def test_a_good_one_is_returned(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("routers: [{protocol: http, servers: [{port: 4141}]}]")

    assert read_config(str(path)).routers[0].servers[0].port == 4141


def test_each_problem_is_a_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("routers:\n- protocol: http\n  servers: [{prot: 1}]\n  dtab: /a\n")

    with pytest.raises(click.exceptions.Exit) as ended:
        read_config(str(path))

    out, err = capsys.readouterr()
    assert (ended.value.exit_code, out) == (1, "")
    assert [line.partition(": ")[0] for line in err.splitlines()] == [f"{path}:3:14", f"{path}:4:11"]
