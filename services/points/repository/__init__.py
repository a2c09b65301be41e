"""Every statement of the points service, by what it is about."""
