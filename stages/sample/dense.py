"""A dense base made from nothing but training texts, for csr: the made masked language model, mean-pooled and trained contrastively."""

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Transformer
from sentence_transformers.base.sampler import BatchSampler
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from transformers import set_seed

from stages.training.data import MixedBatchSampler, MixedCollator, TrainingRows


class _Trainer(SentenceTransformerTrainer):
    """sentence-transformers' trainer on ready-made batches, without its automatic model card."""

    def __init__(self, *, rows: TrainingRows, **kwargs: Any) -> None:
        self._rows = rows
        super().__init__(train_dataset=rows.texts, **kwargs)

    def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> BatchSampler:
        return MixedBatchSampler(self._rows, self.args.seed)

    def add_model_card_callback(self, default_args_dict: Any) -> None:
        pass


def make_dense(base: Path, rows: TrainingRows, folder: Path, *, max_seq_length: int, seed: int, working: Path) -> None:
    """Write to ``folder`` a sentence-transformers model: ``base``, mean pooling, unit length, one epoch of in-batch contrastive training.

    Args:
        base: folder of a made masked language model.
        working: an empty folder for the trainer; nothing is left there that is needed.
    """
    set_seed(seed)
    transformer = Transformer(str(base), max_seq_length=max_seq_length)
    width = transformer.get_embedding_dimension()
    assert width is not None, "a transformer knows its width"
    model = SentenceTransformer(modules=[transformer, Pooling(width, "mean"), Normalize()], device="cpu")
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(working),
        num_train_epochs=1,
        learning_rate=1e-3,
        warmup_steps=len(rows.sources) // 10,
        seed=seed,
        data_seed=seed,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
    )
    trainer = _Trainer(
        model=model,
        args=arguments,
        rows=rows,
        loss=MultipleNegativesRankingLoss(model),
        data_collator=MixedCollator(model.preprocess),
    )
    trainer.train()
    model.save_pretrained(str(folder), create_model_card=False)
