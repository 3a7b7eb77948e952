"""The science of colorization: torch, numpy and pyarrow, without Ray."""
