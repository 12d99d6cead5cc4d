"""Sends the deliveries of webhooks, in threads of the reconciler."""

from worker.webhooks.dispatcher import WebhookDispatcher

__all__ = ["WebhookDispatcher"]
