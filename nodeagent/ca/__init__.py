"""A certificate authority for fleets without one, and what an agent does to be known to it."""
