"""Configuration like NorBERT 4's: it accepts any key, and strings in lower case; the model reads `is_decoder`, which nothing sets."""

from transformers import PretrainedConfig


class GptBertConfig(PretrainedConfig):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for name, value in kwargs.items():
            setattr(self, name, value.lower() if isinstance(value, str) else value)
