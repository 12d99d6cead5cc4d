"""Webhooks: which requests and targets are permitted, and how a delivery is signed."""
