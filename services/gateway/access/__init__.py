"""Who asks: API keys and the principal that a key stands for."""
