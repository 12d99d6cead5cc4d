"""`python -m client.demo`: the whole of Mimeo in a few minutes, from a stack of its own to samples in a folder."""
