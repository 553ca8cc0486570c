"""nodeagent: one service mesh agent per host."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("nodeagent")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"
