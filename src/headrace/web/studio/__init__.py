"""Studio: one page to try models on, and to watch a stream at work; its own sources are in the folder `studio/`."""
