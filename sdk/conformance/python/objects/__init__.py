"""Checks of the object cache with the published package, against a cache alone."""
