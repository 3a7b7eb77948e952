"""How fast this machine colours and trains: loops of others, the limit of its kernels, the models by themselves."""
