"""Token streams: one input, many answers."""
