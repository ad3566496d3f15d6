"""Commands that are installed with the package."""
