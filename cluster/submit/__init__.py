"""A verb as a submitted job on a Ray cluster."""
