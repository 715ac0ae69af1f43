"""``assay verify --online``: ask the platform about the session that a bundle names."""

from __future__ import annotations

import os
from pathlib import Path

from evidence.known import Told
from evidence.manifest import Local
from evidence.reading import Bundle, Unreadable


class NotAsked(RuntimeError):
    """The platform could not be asked; ``str()`` says why in one sentence."""


def told(folder: Path) -> Told:
    """What the API of the account that is set up here says of the version that the bundle in ``folder`` names. The
    endpoint in a bundle is its maker's word: the account's token is shown to no other than the account's own."""
    from backend.launchers.kaggle import collect, credentials
    from backend.launchers.kaggle.client import Client, KaggleError

    try:
        location = Bundle(folder).told.location
    except (Unreadable, OSError) as error:
        raise NotAsked(f"{folder.name} cannot be read: {error}") from None
    if isinstance(location, Local):
        raise NotAsked(f"{folder.name} is of a run on a machine of its operator, so there is no platform to ask")
    named = location.platform
    account = credentials.read(os.environ, Path.home())
    if named.endpoint != account.endpoint:
        raise NotAsked(
            f"{folder.name} names the endpoint {named.endpoint}, and the account here is at {account.endpoint}"
        )
    slug = f"{named.owner}/{named.slug}"
    try:
        with Client(account.find(), account.endpoint) as client:
            found, outputs = client.find(slug, named.version), client.outputs(slug, named.version)
    except (credentials.NoCredentials, KaggleError) as error:
        raise NotAsked(str(error)) from None
    return Told(
        endpoint=account.endpoint,
        version=found.version,
        kernel_id=found.kernel_id,
        machine_shape=found.machine[0],
        docker_image=found.machine[1],
        notebook=found.source,
        log=collect.log_text(outputs.log),
    )
