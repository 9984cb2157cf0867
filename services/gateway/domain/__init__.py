"""Pure parts of the gateway: vocabularies and names, no IO."""
