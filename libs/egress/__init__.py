"""Where requests that a tenant asked for may go. Pure: nothing is resolved and nothing is opened here."""
