"""What several tests share: servers, proxies, processes, contents."""
