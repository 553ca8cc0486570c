"""Transformers: what is done to bound names and their addresses after discovery has found them, as in linkerd 1.x."""
