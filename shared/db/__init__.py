"""The database: typed models, clocks and sessions. The database is the truth."""
