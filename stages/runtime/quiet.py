"""Keep the libraries' messages off the terminal: stages print what a user must know."""

import logging

from transformers.utils.logging import disable_progress_bar, set_verbosity_error


def quiet_libraries() -> None:
    """Silence the warnings of transformers and sentence-transformers in this process, and the progress bar for loading weights."""
    set_verbosity_error()
    disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
