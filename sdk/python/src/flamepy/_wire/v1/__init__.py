"""Written by scripts/generate.py."""
