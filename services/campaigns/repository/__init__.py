"""Every statement of campaigns, as functions named by intent."""
