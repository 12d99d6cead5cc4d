"""Training and generation. Among the services, only this package imports torch."""
