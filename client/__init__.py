"""Mimeo's client: a Python client and the `mimeo` command. It uses HTTP and imports no module of the server."""
