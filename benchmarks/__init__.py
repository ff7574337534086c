"""What headrace costs, as ratios against the same work on a raw gRPC stub."""
