"""The fault tests: one named test per fault, on real processes. See docs/explanation/fault-tests.md."""
