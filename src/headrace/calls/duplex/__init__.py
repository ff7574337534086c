"""Streams with inputs and answers both ways at once: matched (one answer an input) and unmatched."""
