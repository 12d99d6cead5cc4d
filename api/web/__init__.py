"""The studio: pages for a browser, on the same API that other clients use."""
