"""The HTTP server: waitress with an event loop, time limits and request slots for slow clients (decision 0016)."""
