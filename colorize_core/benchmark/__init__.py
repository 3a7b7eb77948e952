"""How fast this machine colors and trains: loops of others, the limit of its kernels, the models by themselves."""
