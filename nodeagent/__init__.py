"""nodeagent: one service mesh agent per host."""

__version__ = "0.1.0"
"""Of the package; written here and not asked of its metadata, because reading those takes 1 MB and 20 ms."""
