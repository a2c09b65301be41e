"""Every statement of messaging, as functions named by intent."""
