"""Checks of a job's webhook that need the settings."""

from shared.errors import SpecError
from shared.settings import Settings
from shared.specs import Webhook
from shared.webhooks import targets


def check(webhook: Webhook | None, settings: Settings) -> None:
    """Raises SpecError where webhooks are not set up, or for an address that no delivery may reach.

    Names are resolved at each delivery.
    """
    if webhook is None:
        return
    if not settings.webhook_keys:
        detail = "This server sends no webhooks: set MIMEO_WEBHOOK_SECRET or MIMEO_WEBHOOK_SECRET_FILE for it."
        raise SpecError.at("/webhook", detail, "not_configured")
    host = targets.parse(webhook.url).host
    if (address := targets.literal(host)) is not None:
        try:
            targets.check(host, address, settings.webhook_allowed_hosts)
        except targets.ForbiddenTarget as error:
            raise SpecError.at("/webhook/url", f"{error}.", "forbidden_target") from None
