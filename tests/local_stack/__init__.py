"""The local stack with a stand-in for the services."""
