"""The API under load and beside slow clients, side by side with another checkout."""
