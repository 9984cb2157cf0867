"""What state the installation is in, for operators."""
