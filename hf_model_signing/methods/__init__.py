"""The signing methods: a folder for each, their common interface, and the registry."""
