"""The wire schema: generated from ``protos/headrace/v2`` by ``tools/protos.py``, never edited by hand."""
