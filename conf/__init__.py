"""Configuration: text -> values, in linkerd 1.x's vocabulary, with every error where it stands."""

from conf.agent import AgentConfig
from conf.effective import effective
from conf.errors import ConfigErrors, Problem
from conf.load import load, read, read_text
from conf.policy import resolve

__all__ = ["AgentConfig", "ConfigErrors", "Problem", "effective", "load", "read", "read_text", "resolve"]
