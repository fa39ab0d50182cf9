"""Check a downloaded or copied model before anything uses it: base model, miner, cross-encoder and dense baseline alike.

If files are missing, transformers silently makes up a tokenizer of five tokens and initialises weights at random. Weights are not read
into memory. `files` and `own_code` have the checks that load no model; `base_check` runs the base model as it is built for training.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.util import import_from_string
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from stages.pretrained.files import Use, is_sparse, is_static, require_complete_weights, require_positions, require_readable
from stages.pretrained.norbert import prepare_base, transformer_folder
from stages.pretrained.own_code import AUTO_CLASSES, require_allowed_code
from stages.runtime.errors import UserError
from stages.runtime.files import read_json

PROBE = (
    "Hva er hovedstaden i Norge?",
    "Ho las boka om fiskarane på Vestlandet to gonger, og så gav ho henne til bror sin.",
    "Biblioteket i Aarhus holder åbent til klokken 20 på hverdage og lukker tidligere i weekenden.",
    "Tågen från Göteborg till Malmö är försenade på grund av snö.",
    "Wireless headphones with noise cancelling, 30 hours of battery life, black",
)
KNOWN_LIMIT = 0.5  # share of the probe's tokens that a tokenizer must know; one for another alphabet, or an empty one, knows few
HEADS = {  # task: name of its head, and which models have one
    "fill-mask": ("masked-LM head", "name a …ForMaskedLM model, or use csr"),
    "sequence-classification": ("classification head", "name a …ForSequenceClassification model"),
}


def check_small_files(folder: Path, use: Use) -> None:
    """Raise UserError if a model cannot be used as asked; its weights are not needed."""
    require_readable(folder, use)
    require_allowed_code(folder, use)
    if not is_static(folder):
        with prepared(folder) as ready:
            load_tokenizer(ready, use)


def check_model(folder: Path, use: Use) -> None:
    """Raise UserError if a model cannot be used as asked: `check_small_files`, then its weights and sizes."""
    check_small_files(folder, use)
    require_complete_weights(folder, use)
    require_positions(folder, use)
    with prepared(folder) as ready:
        if not is_static(folder):
            require_weights(ready, use)
        for module in read_json(folder / "modules.json") or []:
            _require_module(folder, module, use)
        require_loadable(ready, use)


@contextmanager
def prepared(folder: Path) -> Iterator[Path]:
    """``folder``, or for a NorBERT a repaired copy that exists within the context."""
    with TemporaryDirectory() as work:
        yield prepare_base(folder, Path(work))


def load_tokenizer(folder: Path, use: Use) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer.

    Raises:
        UserError: it is missing, does not load, has no padding token, or knows too few tokens of `PROBE`.
    """
    with _quietly(), _load_errors(use, "a tokenizer that cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(str(transformer_folder(folder)), trust_remote_code=use.trusted)
        ids = [token for text in PROBE for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    known = sum(token != tokenizer.unk_token_id for token in ids) / max(len(ids), 1)
    if known < KNOWN_LIMIT:
        raise use.error(
            f"has a tokenizer of {len(tokenizer):,} tokens that knows {known:.0%} of five short texts; its files "
            "(tokenizer.json, vocab.txt, …) are missing or wrong: complete them, or name another model"
        )
    if tokenizer.pad_token_id is None:
        raise use.error("has a tokenizer without a padding token, which batches need; name another model")
    return tokenizer


def require_weights(folder: Path, use: Use) -> None:
    """Raise UserError unless the model's files hold every weight that ``use`` needs, and embeddings for all tokens.

    Args:
        folder: the model's; of a NorBERT the repaired copy.
    """
    loader = getattr(transformers, AUTO_CLASSES.get(use.task, "AutoModel"))
    head, remedy = HEADS.get(use.task, ("encoder", "name a complete model"))
    place, options = str(transformer_folder(folder)), {"device_map": "meta", "output_loading_info": True}
    try:
        with _quietly(), _load_errors(use, "weights that do not fit its config.json"):
            model, info = loader.from_pretrained(place, trust_remote_code=use.trusted, **options)
    except UserError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        raise use.error(f"has no {use.task} model class in transformers; {remedy}") from error
    unread = ["position_indices"]  # computed by NorBERT 3
    if use.task != "sequence-classification":  # whose head reads the pooler
        unread.append("pooler.")
    if missing := sorted(key for key in info["missing_keys"] if not any(part in key for part in unread)):
        more = f" and {len(missing) - 1} more weights are" if missing[1:] else " is"
        raise use.error(f"has no complete {head}: {missing[0]}{more} not in its files and would be random; {remedy}")
    if use.task == "sequence-classification" and model.config.num_labels != 1:
        raise use.error(f"gives {model.config.num_labels} scores per pair of texts, but a teacher needs one; name another cross-encoder")
    rows = model.get_input_embeddings().weight.shape[0]
    tokenizer = load_tokenizer(folder, use)
    highest = max(*tokenizer.get_vocab().values(), *tokenizer(PROBE[0])["input_ids"])  # special tokens may be missing from the vocabulary
    if highest >= rows:
        raise use.error(
            f"has {rows:,} embeddings but a tokenizer of {highest + 1:,} tokens: they belong to different models; name another model"
        )


def require_loadable(folder: Path, use: Use) -> None:
    """Raise UserError unless sentence-transformers loads the model, its settings and its processor as ``use`` needs them.

    The transformer's weights stay on torch's meta device.

    Args:
        folder: the model's; of a NorBERT the repaired copy.
    """
    trust = {"trust_remote_code": use.trusted}
    meta = {"device_map": "meta"}
    model: Any = ()
    with _quietly(), _load_errors(use, "files that sentence-transformers cannot load"):
        if use.task == "fill-mask":
            options: dict[str, Any] = {"model_kwargs": meta | trust, "config_kwargs": trust, "processor_kwargs": trust}
            Transformer(str(transformer_folder(folder)), transformer_task="fill-mask", **options)
        else:
            kind: Any = (
                CrossEncoder if use.task == "sequence-classification" else SparseEncoder if is_sparse(folder) else SentenceTransformer
            )
            model = kind(str(folder), device="meta", model_kwargs=meta, local_files_only=True, **trust)
    if use.task == "feature-extraction" and all(isinstance(module, Transformer) for module in model):
        raise use.error("has no pooling module in modules.json, so it does not give one vector per text; name a complete model")


def _require_module(folder: Path, module: dict[str, Any], use: Use) -> None:
    """Raise UserError if a module of sentence-transformers' own, other than a transformer or router, does not load."""
    kind, path = str(module.get("type")), str(module.get("path") or "")
    if kind.startswith("sentence_transformers.") and not kind.endswith(("Transformer", "Router")):
        with _load_errors(use, f"a module {path or kind.rpartition('.')[2]} that cannot be loaded"):
            loader: Any = import_from_string(kind)
            loader.load(str(folder), subfolder=path, local_files_only=True)


@contextmanager
def _load_errors(use: Use, what: str) -> Iterator[None]:
    """Turn any error of a library about a model's files into a `UserError`; ``what`` names what the model has that is wrong."""
    try:
        yield
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise use.error(f"has {what} ({type(error).__name__}: {reason[:300]}); name a complete model") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress transformers' report and progress bar for a load."""
    logger = logging.getLogger("transformers")
    level, bars = logger.level, is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            enable_progress_bar()
