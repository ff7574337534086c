"""Both transports against servers and proxies that others wrote; `make conformance` runs them."""
