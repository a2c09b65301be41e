"""What every test may ask for; anything longer than a few lines is a plugin in `tests/fixtures`."""

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.services", "tests.fixtures.platform"]
