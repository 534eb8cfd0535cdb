"""Settings of the property tests."""

from hypothesis import HealthCheck, settings

# The duration of an example depends on the machine, not on qmig.
settings.register_profile("qmig", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("qmig")
