"""How fast Rowdock is, next to the limit of its database and to the script people write instead."""
