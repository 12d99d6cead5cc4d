"""`python -m client.demo`: a demonstration of a few minutes, from a stack of its own to samples in a folder."""
