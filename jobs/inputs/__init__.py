"""Inputs of a job: their selection, their list, and their content."""
