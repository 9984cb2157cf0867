"""The only modules of the gateway that read or change collections of an organization."""
