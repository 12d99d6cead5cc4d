"""The HTTP API: thin views over `shared.services`. It never imports torch."""
