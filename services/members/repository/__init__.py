"""Every statement of members, as functions named by intent; each is one statement per batch."""
