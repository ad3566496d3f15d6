"""Figures and pages that show what the networks do; import from the modules."""
