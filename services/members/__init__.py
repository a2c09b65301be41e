"""Members: people, their shop identities, orders as they arrive, consent of record, tiers and tags."""
