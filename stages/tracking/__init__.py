"""Experiment tracking that only watches: it can neither fail a run, nor change its numbers, nor hold it up.

MLflow runs in a process of its own (`worker`), and this side writes JSON lines into its pipe without ever waiting.
In our process MLflow would draw from Python's global random generator (run names, the jitter between HTTP retries),
wait out every retry of a server that is gone, and take three to four seconds to start. When the training process dies,
the worker sees its pipe end and marks the run KILLED.
"""

from stages.tracking.git import git_state
from stages.tracking.run import Tracker, open_run, store_uri
from stages.tracking.values import flatten, safe_name

__all__ = ["Tracker", "flatten", "git_state", "open_run", "safe_name", "store_uri"]
