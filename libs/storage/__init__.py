"""MongoDB as the truth: client, documents, payloads and files."""
