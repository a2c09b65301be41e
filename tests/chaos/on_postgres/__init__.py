"""The platform on the bus in PostgreSQL."""
