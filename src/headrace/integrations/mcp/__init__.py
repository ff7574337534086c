"""Models as tools of an MCP server (extra `mcp`): for assistants, editors and agents.

`headrace mcp` runs it; `mcp_server(models)` makes it, for a transport of your own.
"""

from headrace.support.extras import install

try:
    import mcp as _mcp  # noqa: F401
except ImportError as _missing:
    raise ImportError(
        f"headrace.integrations.mcp needs {_missing.name}: {install('mcp')}", name=_missing.name
    ) from None

from headrace.integrations.mcp.server import mcp_server

__all__ = ["mcp_server"]
