"""The official packages and ours, talking to each other for real; see docs/interop.md."""
