"""A small version of every Hub repository that the profiles nordic and ecommerce use, in the layout of the real one.

The texts are those of the built-in sample, and invented English ones. Each function documents what is known of the real repository:
columns, splits, shards, cards, revisions that others pin, files that must not be downloaded, and rows that must not be trained on.
"""

from collections.abc import Callable

from tests.fakes.hub_server import LoopbackHub
from tests.fakes.repositories.evaluation_sets import evaluation_sets
from tests.fakes.repositories.models import MODELS
from tests.fakes.repositories.training_sets import TRAINING_SETS


def add_repositories(hub: LoopbackHub) -> None:
    """Serve them all."""
    sets = [commit for make in TRAINING_SETS.values() for commit in make().commits]
    models = [commit for make in MODELS.values() for commit in make()]
    for commit in [*sets, *evaluation_sets(), *models]:
        commit.add_to(hub)


def newest(hub: LoopbackHub) -> Callable[[str, str, str | None], str]:
    """What `make pin` asks the Hub, asked within this process: (repo, kind, branch or None) → revision."""
    return lambda repo, kind, branch: hub.repo(kind, repo).refs[branch or "main"]
