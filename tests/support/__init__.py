"""Support for several tests: servers, proxies, processes, contents."""
