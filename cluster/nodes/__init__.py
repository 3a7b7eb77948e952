"""Queries to every node of a Ray cluster. Imports nothing: nodes without this project must be able to answer."""
