"""Looks at a deployment and says what is wrong with it and how to mend that: ``python -m deploy.doctor``."""
