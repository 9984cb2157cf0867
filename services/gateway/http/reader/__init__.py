"""The page that shows the OpenAPI document to people, with everything that it loads."""
