"""How to install an extra that is missing: from where headrace itself was installed."""

from __future__ import annotations


def install(extra: str) -> str:
    """Return the command that installs an extra, such as `pip install '/home/me/headrace[video]'`.

    It names the folder or the repository that headrace was installed from, if the installer has noted one, else the
    folder of a checkout: `pip install '.[video]'`.
    """
    import json
    import shlex
    from importlib import metadata

    try:
        noted = metadata.distribution("headrace").read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # run from a checkout
        noted = "{}"
    if noted is None:  # from an index
        return f"pip install 'headrace[{extra}]'"
    source = json.loads(noted)
    url = source.get("url", "")
    if vcs := source.get("vcs_info", {}).get("vcs"):
        return f"pip install {shlex.quote(f'headrace[{extra}] @ {vcs}+{url}')}"
    if url.startswith("file://") and "dir_info" in source:
        from urllib.parse import unquote

        return f"pip install {shlex.quote(f'{unquote(url[7:])}[{extra}]')}"
    if url:  # a wheel or an archive
        return f"pip install {shlex.quote(f'headrace[{extra}] @ {url}')}"
    return f"pip install '.[{extra}]'"
