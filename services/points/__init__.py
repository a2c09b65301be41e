"""The loyalty ledger: what members earn, spend and lose, to the point."""
