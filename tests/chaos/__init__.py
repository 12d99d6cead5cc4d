"""The fault campaign: one named test per fault, on real processes. See docs/chaos.md."""
