"""What a training run writes for people."""
