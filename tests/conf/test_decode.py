"""Bad texts and the exact lines that are printed for them; and what is understood."""

from __future__ import annotations

import conf
from conf.agent import AgentConfig
from conf.errors import MAX_PROBLEMS
from tests.conf.stories import Story, stories
from tests.conf.texts import MINIMAL, problems, router


@stories("top")
def test_the_top_of_the_file(story: Story) -> None:
    assert problems(story.text) == story.lines


@stories("namers")
def test_namers(story: Story) -> None:
    assert problems(story.text) == story.lines


@stories("routers")
def test_routers(story: Story) -> None:
    assert problems(story.text) == story.lines


@stories("dtabs")
def test_an_error_in_a_dtab_is_where_it_was_written(story: Story) -> None:
    assert problems(story.text) == story.lines


@stories("everything")
def test_all_problems_are_told_at_once(story: Story) -> None:
    assert problems(story.text) == story.lines


def test_a_file_of_nothing_but_mistakes_ends_somewhere() -> None:
    lines = problems(MINIMAL + "".join(f"k{number}: 1\n" for number in range(2 * MAX_PROBLEMS)))

    assert len(lines) == MAX_PROBLEMS + 1
    assert "the rest of the file was not read" in lines[-1]


def test_a_key_without_a_value_is_left_out() -> None:
    assert router("client:\nservice: ~\nlabel: null\nidentifier:\n") == router()


def test_json_is_read_too() -> None:
    text = '{"routers": [{"protocol": "http", "dtab": "/svc => /$/inet/8080;", "servers": [{"port": 0}]}]}'

    assert conf.load(text, "l5d").routers[0].dtab.show() == "/svc => /$/inet/8080"


def test_anchors_share_values() -> None:
    text = """
    routers:
    - &one {protocol: http, label: a, servers: &servers [{port: 0}]}
    - {protocol: http, label: b, servers: *servers}
    """
    first, second = conf.load(text, "l5d").routers

    assert first.servers == second.servers


def test_the_smallest_configuration_is_all_defaults() -> None:
    config = conf.load(MINIMAL, "l5d")

    assert isinstance(config, AgentConfig)
    assert (config.admin.ip, config.admin.port, config.admin.shutdown_grace_ms) == ("127.0.0.1", 9990, 10_000)
    assert (config.routers[0].label, config.routers[0].dst_prefix.show()) == ("http", "/svc")
    assert (config.routers[0].servers[0].ip, config.routers[0].servers[0].port) == ("127.0.0.1", 4140)
