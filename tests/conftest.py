"""What every test may ask for; anything longer than a few lines is a plugin in `tests/fixtures`."""

from hypothesis import settings

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.services", "tests.fixtures.platform"]

# A property is about answers, not about how long a busy machine takes to find them.
settings.register_profile("regulars", deadline=None)
settings.load_profile("regulars")
