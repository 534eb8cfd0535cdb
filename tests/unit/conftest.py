"""Settings of the property tests."""

from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, and nothing about qmig.
settings.register_profile("qmig", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("qmig")
