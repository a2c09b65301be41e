"""The platform on Kafka."""
