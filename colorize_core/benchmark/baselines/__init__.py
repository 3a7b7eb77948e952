"""What a benchmark compares with: loops of other projects and kernels alone."""
