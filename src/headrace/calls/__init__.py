"""The call shapes, one file each, with their deadline and retry."""
