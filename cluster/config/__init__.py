"""Typed configuration from YAML and key=value, and the command line around it."""
