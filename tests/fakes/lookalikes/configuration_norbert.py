"""Configuration like NorBERT 3's: it does not mention tied embeddings."""

from transformers import PretrainedConfig


class NorbertConfig(PretrainedConfig):
    def __init__(
        self,
        vocab_size=200,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        position_bucket_size=8,
        hidden_dropout_prob=0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.position_bucket_size = position_bucket_size
        self.hidden_dropout_prob = hidden_dropout_prob
