"""Real servers without installing anything: PostgreSQL from a wheel, Apache Kafka from its own jars."""
