"""The admin port: what the agent tells of itself over HTTP, and the few things it can be told."""
