"""What gateway and validator must agree on about the rules of a template."""
