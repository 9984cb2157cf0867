"""Import templates: judged, saved in versions, with the unique keys and the webhook receiver that they need."""
