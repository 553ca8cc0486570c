"""Rules in a file, looked at without an agent."""

from __future__ import annotations

from pathlib import Path

from tests.nodeagent.cli.conftest import Cli


def configuration(folder: Path) -> tuple[str, Path]:
    config, rules = folder / "agent.yaml", folder / "rules.yaml"
    config.write_text(
        "admin: {port: 0}\nrouters:\n- protocol: http\n  servers: [{port: 0}]\n"
        f"  policy: {{from: {{kind: io.l5d.fs, rulesFile: {rules}}}}}\n"
    )
    return str(config), rules


def test_check_tells_all_that_is_wrong_with_them(cli: Cli, tmp_path: Path) -> None:
    config, rules = configuration(tmp_path)
    missing = cli("check", config)
    rules.write_text("rules:\n- {action: alow}\n- {action: deny, whenDown: allow}\n")
    faulty = cli("check", config)
    rules.write_text("rules: [{action: deny}]")
    good = cli("check", config)

    assert (missing.code, missing.err) == (1, f"{rules}: cannot be read: No such file or directory\n")
    assert [line.split(" ")[0] for line in faulty.err.splitlines()] == [f"{rules}:2:12:", f"{rules}:3:28:"]
    assert (faulty.code, good.code, good.err) == (1, 0, "")


def test_explain_goes_by_them(cli: Cli, tmp_path: Path) -> None:
    config, rules = configuration(tmp_path)
    asked = ("explain", "--config", config, "--as", "10.0.0.1", "/svc/web")
    unknown = cli(*asked).out
    rules.write_text("rules: [{name: shut, action: deny}]")

    assert f"decides: the rules are not known: {rules}: No such file" in unknown
    assert "policy: denied by shut" in cli(*asked).out
