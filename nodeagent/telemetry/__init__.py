"""The numbers of the agent: counted on the hot path as plain integers, rendered only when somebody asks."""
