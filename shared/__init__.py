"""What the API and the workers both need: settings, specs, the database, services, the broker and storage. Never torch."""
