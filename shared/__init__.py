"""What the API and the workers both need: settings, specs, the database, services, broker and storage. No torch."""
