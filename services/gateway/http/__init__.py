"""HTTP: the envelope of errors, tracing, the OpenAPI document, and what all vocabularies share."""
