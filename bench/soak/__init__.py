"""A long run of the agent at half of its capacity while everything around it changes: `python -m bench.soak`."""
