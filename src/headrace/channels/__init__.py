"""Which connection a call goes over."""
