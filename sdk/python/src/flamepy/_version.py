"""The version of this package, and of the published package whose API it has."""

__version__ = "0.7.0"

# Every name, default and error code of this release of the published package is here too.
COMPATIBLE_WITH = "0.6.0"
