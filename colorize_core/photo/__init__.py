"""Image files: bytes to pixels and back, with metadata. Without torch."""
