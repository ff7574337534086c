"""Credentials and defaults: from arguments, the environment, or the official tools' contexts (read, never written)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from headrace.errors import ConfigError
from headrace.support.extras import install
from headrace.support.texts import keep_secret
from headrace.target import DEFAULT_BASE, Target


@dataclass(frozen=True, slots=True)
class Credentials:
    """A personal access token or a session token; neither is ever shown."""

    pat: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, value in (("pat", self.pat), ("token", self.token)):
            if value is not None and not _plain(value):
                raise ConfigError(f"{name} contains characters that a header cannot carry; copy it again")
            if value:
                keep_secret(value)

    def __bool__(self) -> bool:
        return bool(self.pat or self.token)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The header that carries the credential, () when there is none."""
        if self.pat:
            return (("authorization", f"Key {self.pat}"),)
        if self.token:
            return (("x-clarifai-session-token", self.token),)
        return ()


@dataclass(frozen=True, slots=True)
class Account:
    """The result of arguments, environment and context: target, credential, default user and app."""

    target: Target
    credentials: Credentials
    user_id: str = ""
    app_id: str = ""
    root_certificates_path: str = ""

    def refuse_plaintext(self) -> None:
        """Refuse to send a credential without TLS to another machine.

        Raises:
            ConfigError: it would be sent that way.
        """
        if self.credentials and not (self.target.tls or self.target.local):
            raise ConfigError(
                f"{self.target} is not encrypted: the credential would be sent in clear text. Use https://, "
                "or allow_insecure_credentials=True if you mean it"
            )


def resolve(
    base_url: str | None,
    pat: str | None,
    token: str | None,
    root_certificates_path: str | os.PathLike[str] | None = None,
    *,
    anonymous: bool = False,
) -> Account:
    """Find target and credential: argument, then environment, then context.

    A context is read only when neither argument nor environment gave a credential, and its credential goes only to
    the context's own base, or to the default one if it names none. `anonymous`: look for no credential at all.

    Raises:
        ConfigError: both `pat` and `token`, a malformed base URL, or an unreadable context file.
    """
    if pat and token:
        raise ConfigError("give pat= or token=, not both")
    env = os.environ
    base = base_url or env.get("CLARIFAI_API_BASE") or None
    roots = os.fspath(root_certificates_path or env.get("CLARIFAI_ROOT_CERTIFICATES_PATH") or "")
    user, app = env.get("CLARIFAI_USER_ID", ""), env.get("CLARIFAI_APP_ID", "")
    if anonymous:
        return Account(Target.parse(base_url), Credentials(), user, app, roots)
    credentials = Credentials(_strip(pat), _strip(token))
    if not credentials:
        from_env = _strip(env.get("CLARIFAI_PAT"))
        credentials = Credentials(from_env, None if from_env else _strip(env.get("CLARIFAI_SESSION_TOKEN")))
    if not credentials:
        context = _context(Target.parse(base) if base else None)
        context_target = Target.parse(str(context.get("CLARIFAI_API_BASE") or DEFAULT_BASE)) if context else None
        target = Target.parse(base) if base else context_target or Target.parse(None)
        if context_target is not None and context_target == target:
            pat = _strip(context.get("CLARIFAI_PAT"))
            credentials = Credentials(pat, None if pat else _strip(context.get("CLARIFAI_SESSION_TOKEN")))
            user = user or str(context.get("CLARIFAI_USER_ID") or "")
            app = app or str(context.get("CLARIFAI_APP_ID") or "")
        return Account(target, credentials, user, app, roots)
    return Account(Target.parse(base), credentials, user, app, roots)


def context_path() -> str | None:
    """Where the official tools keep their contexts; None if there is no home folder."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(folder):  # relative paths are ignored: they would mean the current folder
        return os.path.join(folder, "clarifai", "config")
    home = os.path.expanduser("~")
    return os.path.join(home, ".config", "clarifai", "config") if os.path.isabs(home) else None


def _context(target: Target | None) -> dict[str, Any]:
    """Read the current context; an unreadable one is ignored for servers on this machine."""
    try:
        return _current_context()
    except ConfigError:
        if target is not None and target.local:
            return {}
        raise


def _current_context() -> dict[str, Any]:
    path = context_path()
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read the contexts in {path}: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read the contexts in {path}: it is not UTF-8 text") from None  # never its content
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            f"no credential in arguments or environment, and reading the contexts in {path} needs PyYAML: "
            f"{install('cli')}"
        ) from None
    try:
        config = yaml.safe_load(text)
    except Exception as error:  # besides its own errors: too deep nesting, invalid dates and numbers
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"the contexts in {path} are not valid YAML{line}") from None  # never show its content
    contexts = config.get("contexts") if isinstance(config, dict) else None
    if not isinstance(contexts, dict):
        return {}
    current = _scalar(config.get("current_context"))
    context = next((entry for name, entry in contexts.items() if _scalar(name) == current), None)
    if isinstance(context, dict) and isinstance(context.get("env"), dict):  # the official tools nest the variables
        context = context["env"]
    if not isinstance(context, dict):
        return {}
    return {name: text for name, value in context.items() if (text := _scalar(value))}


def _scalar(value: object) -> str:
    """Return a YAML scalar as text; "" for lists and mappings, which may be endless."""
    return str(value) if isinstance(value, str | int | float) else ""


def _strip(value: object) -> str | None:
    """Strip white space around a credential: it comes from copying."""
    return str(value).strip() or None if value is not None else None


def _plain(value: str) -> bool:
    return all(" " < c < "\x7f" for c in value)
