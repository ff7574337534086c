"""The embedded model server; the library never imports it, `Client.local()` starts it as a process."""
