"""The documentation site: build hooks of MkDocs."""
