"""From what a format found and what a template wants to the plan that is frozen on a run."""
