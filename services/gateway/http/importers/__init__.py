"""The importers API: ``/api/v1/importers``, and its runs under ``/api/v1/imports``."""
