"""MongoDB as the truth: client, documents, the run and batch ledger, payloads and files."""
