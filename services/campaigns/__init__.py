"""Campaigns: group-buy activities, groups, seats, share links, and coupons."""
