"""Calls with one answer: single inputs, lists, concurrent calls that share a request, and `map`."""
