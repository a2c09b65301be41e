"""Analytics: facts, what they add up to by day, member and campaign, and the report on them."""
