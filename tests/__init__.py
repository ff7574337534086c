"""The tests of headrace; `tests.support` is what they share."""
