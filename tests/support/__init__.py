"""What tests share: servers in and out of this process, clients for them, and clocks."""
