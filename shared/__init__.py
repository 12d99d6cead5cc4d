"""Code shared by the API and the workers: settings, specs, database, services, broker and storage. No torch."""
