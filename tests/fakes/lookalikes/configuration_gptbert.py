"""Configuration like NorBERT 4's: any key is taken, strings in lower case; `is_decoder` is read by the model and set by nobody."""

from transformers import PretrainedConfig


class GptBertConfig(PretrainedConfig):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for name, value in kwargs.items():
            setattr(self, name, value.lower() if isinstance(value, str) else value)
