"""Where Rowdock runs: the local stack, provisioning, and the files of a deployment."""
