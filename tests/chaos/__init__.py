"""The fault campaign: one named test per fault, on real processes. See docs/explanation/fault-tests.md."""
