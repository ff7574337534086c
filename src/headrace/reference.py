"""Which model: a URL of the platform in any of its forms, or ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.credentials import Account

LOCAL_USER, LOCAL_APP = "headrace", "local"  # of the models of a server that is not the hosted API
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]*\Z")
_FORMS = "https://clarifai.com/{user}/{app}/models/{model}[/versions/{version}] or {user}/{app}/models/{model}"


def default_owner(account: Account) -> tuple[str, str]:
    """Return the user and app of models that are named by their id alone; a server of one's own needs none."""
    user, app = ("", "") if account.target.hosted else (LOCAL_USER, LOCAL_APP)
    return account.user_id or user, account.app_id or app


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id: letters, digits, '-', '_' and '.'."""
    return _ID.match(text) is not None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model's ids; `version_id` is "" for the latest."""

    user_id: str
    app_id: str
    model_id: str
    version_id: str = ""

    @property
    def url(self) -> str:
        """The model's page."""
        version = f"/versions/{self.version_id}" if self.version_id else ""
        return f"https://clarifai.com/{self.user_id}/{self.app_id}/models/{self.model_id}{version}"

    def __str__(self) -> str:
        return f"{self.user_id}/{self.app_id}/models/{self.model_id}"

    @classmethod
    def parse(cls, url: str) -> ModelRef:
        """Take a model URL apart: full or short, with `/versions/{id}`, `/model_version_id/{id}` or without.

        Raises:
            ConfigError: it is none of these forms.
        """
        if not isinstance(url, str):
            raise ConfigError(f"a model's URL is a str, not {type(url).__name__}")
        path = url.split("?")[0].split("#")[0]  # neither is part of it, and either may hold a secret
        if "://" in path:
            path = path.partition("://")[2].partition("/")[2]
        path = path.rpartition("@")[2]
        if path.startswith("clarifai.com/"):
            path = path.removeprefix("clarifai.com/")
        parts = [part for part in path.split("/") if part]
        if len(parts) not in (4, 6) or parts[2] != "models" or not all(_ID.match(part) for part in parts):
            raise ConfigError(f"malformed model URL {path[:200]!r}: expected {_FORMS}")
        if len(parts) == 6 and parts[4] not in ("versions", "model_version_id"):
            raise ConfigError(f"malformed model URL {path[:200]!r}: expected {_FORMS}")
        return cls(parts[0], parts[1], parts[3], parts[5] if len(parts) == 6 else "")

    @classmethod
    def of(
        cls,
        url: str | None,
        user_id: str | None,
        app_id: str | None,
        model_id: str | None,
        model_version: Mapping[str, str] | str | None,
        default_user: str,
        default_app: str,
    ) -> ModelRef:
        """Make it of a URL or of ids; user and app fall back to the defaults. A bare id in the URL's place is an id.

        Raises:
            ConfigError: both or neither given, or something is missing.
        """
        version = _version(model_version)
        if isinstance(url, str) and model_id is None and is_id(url):
            url, model_id = None, url
        if url is not None:
            if model_id is not None:
                raise ConfigError("give the model's URL or its model_id, not both")
            ref = cls.parse(url)
            if version and ref.version_id and version != ref.version_id:
                raise ConfigError(f"the URL names version {ref.version_id}, model_version another one: {version}")
            return cls(ref.user_id, ref.app_id, ref.model_id, ref.version_id or version)
        if not model_id:
            raise ConfigError(f"no model named: give its URL ({_FORMS}), or user_id, app_id and model_id")
        user, app = user_id or default_user, app_id or default_app
        missing = [name for name, value in (("user_id", user), ("app_id", app)) if not value]
        if missing:
            raise ConfigError(
                f"model {model_id!r}: {' and '.join(missing)} missing (or set CLARIFAI_USER_ID and CLARIFAI_APP_ID)"
            )
        for name, value in (("user_id", user), ("app_id", app), ("model_id", model_id)):
            if not isinstance(value, str) or not _ID.match(value):
                raise ConfigError(f"{name} {value!r:.80} is not an id: letters, digits, '-', '_' and '.'")
        return cls(user, app, model_id, version)


def _version(model_version: Mapping[str, str] | str | None) -> str:
    if model_version is None:
        return ""
    version = model_version.get("id", "") if isinstance(model_version, Mapping) else model_version
    if not isinstance(version, str) or not _ID.match(version):
        raise ConfigError('model_version must be {"id": "..."} with the version\'s id')
    return version


def routing(
    deployment_id: str | None, compute_cluster_id: str | None, nodepool_id: str | None, deployment_user_id: str | None
) -> dict[str, str]:
    """Check the routing arguments; {} when none is given (the shared deployment).

    Raises:
        ConfigError: both kinds given, or half of the second.
    """
    cluster = (compute_cluster_id, nodepool_id)
    if deployment_id and any(cluster):
        raise ConfigError("route by deployment_id, or by compute_cluster_id and nodepool_id, not both")
    if any(cluster) and not all(cluster):
        missing = "nodepool_id" if compute_cluster_id else "compute_cluster_id"
        raise ConfigError(f"routing by compute cluster needs {missing} as well")
    fields: dict[str, str] = {}
    if deployment_id:
        fields["deployment_id"] = deployment_id
    elif compute_cluster_id and nodepool_id:
        fields |= {"compute_cluster_id": compute_cluster_id, "nodepool_id": nodepool_id}
    elif deployment_user_id:
        raise ConfigError("deployment_user_id goes with deployment_id, or with compute_cluster_id and nodepool_id")
    if deployment_user_id:
        fields["user_id"] = deployment_user_id
    return fields
