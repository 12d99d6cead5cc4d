"""Mimeo's client: a Python client and the `mimeo` command. It speaks HTTP and imports nothing of the server."""
