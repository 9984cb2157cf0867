"""How the importers of an organization look: checked, restricted by its plan, stored."""
