"""What is killed comes back, and the books still balance."""
