"""Keep the libraries' own lines off the terminal: what a user must know, a stage says itself."""

import logging

from transformers.utils.logging import disable_progress_bar, set_verbosity_error


def quiet_libraries() -> None:
    """Silence the warnings of transformers and sentence-transformers in this process, and the bar that shows weights being loaded."""
    set_verbosity_error()
    disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
