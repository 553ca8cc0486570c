"""Configurations for the tests: the smallest one, and the problems of a bad one."""

from __future__ import annotations

import textwrap

import conf
from conf.router import HttpRouter

MINIMAL = "routers: [{protocol: http, servers: [{}]}]\n"


def problems(text: str) -> list[str]:
    """The lines of `nodeagent check` for a text, which is named "l5d"."""
    try:
        conf.load(textwrap.dedent(text), "l5d")
    except conf.ConfigErrors as errors:
        return str(errors).split("\n")
    return []


def router(keys: str = "") -> HttpRouter:
    """The only router of a configuration, with these keys besides what is needed."""
    text = "routers:\n- protocol: http\n  servers: [{}]\n" + textwrap.indent(textwrap.dedent(keys), "  ")
    (one,) = conf.load(text, "l5d").routers
    assert isinstance(one, HttpRouter)
    return one


def router_problems(keys: str) -> list[str]:
    """The problems of a router with these keys, which begin in line 4, column 3."""
    text = "routers:\n- protocol: http\n  servers: [{}]\n" + textwrap.indent(textwrap.dedent(keys), "  ")
    return problems(text)
