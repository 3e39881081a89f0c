"""The version of this release, for modules that must not load the whole package for it."""

__version__ = "0.1.0"
