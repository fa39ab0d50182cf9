"""Like NorBERT 3: buckets of relative positions in a buffer, and −inf as the first 107 logits; post_init is never called."""

import math

import torch
from torch import nn
from torch.utils import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

from .configuration_norbert import NorbertConfig


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        self.norm = nn.LayerNorm(config.hidden_size, elementwise_affine=False)
        self.project = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        places = torch.arange(config.max_position_embeddings)
        limit = config.position_bucket_size - 1
        buckets = (places[:, None] - places[None]).clamp(-limit, limit) + limit
        self.register_buffer("position_indices", buckets, persistent=True)  # in the checkpoint, unless an older one

    def forward(self, hidden, mask, relative):
        length = hidden.shape[1]
        parts = self.project(self.norm(hidden)).view(*hidden.shape[:2], 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        bias = relative[self.position_indices[:length, :length]].permute(2, 0, 1)
        scores = (query @ key.transpose(-1, -2) / math.sqrt(self.size) + bias).masked_fill(mask, float("-inf"))
        return self.output((torch.softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = Attention(config)
        self.mlp = nn.Sequential(nn.LayerNorm(config.hidden_size, elementwise_affine=False), nn.Linear(*[config.hidden_size] * 2))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden, mask, relative):
        hidden = hidden + self.dropout(self.attention(hidden, mask, relative))
        return hidden + self.dropout(torch.nn.functional.gelu(self.mlp(hidden)))


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList([EncoderLayer(config) for _ in range(config.num_hidden_layers)])
        self.activation_checkpointing = False

    def forward(self, hidden, mask, relative):
        for layer in self.layers:
            if self.activation_checkpointing:
                hidden = checkpoint.checkpoint(layer, hidden, mask, relative, use_reentrant=True)
            else:
                hidden = layer(hidden, mask, relative)
        return hidden


class Embedding(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.relative_embedding = nn.Parameter(torch.empty(2 * config.position_bucket_size - 1, config.num_attention_heads))


class MaskClassifier(nn.Module):
    def __init__(self, config, embedding):
        super().__init__()
        self.nonlinearity = nn.Sequential(
            nn.LayerNorm(config.hidden_size, elementwise_affine=False),
            nn.Linear(config.hidden_size, config.hidden_size),
            nn.GELU(),
            nn.LayerNorm(config.hidden_size, elementwise_affine=False),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(config.hidden_size, config.vocab_size),
        )
        self.nonlinearity[-1].weight = embedding  # tied here without telling transformers

    def forward(self, hidden):
        return self.nonlinearity(hidden)


class NorbertModel(PreTrainedModel):
    config_class = NorbertConfig
    base_model_prefix = "norbert3"
    supports_gradient_checkpointing = True

    def __init__(self, config, add_mlm_layer=False):
        super().__init__(config)  # and no post_init, which transformers 5 needs
        self.embedding = Embedding(config)
        self.transformer = Encoder(config)
        self.classifier = MaskClassifier(config, self.embedding.word_embedding.weight) if add_mlm_layer else None

    def _set_gradient_checkpointing(self, module, value=False):  # the form of transformers before 4.35
        if isinstance(module, Encoder):
            module.activation_checkpointing = value

    def _init_weights(self, module):
        pass

    def get_input_embeddings(self):
        return self.embedding.word_embedding

    def get_contextualized_embeddings(self, input_ids, attention_mask=None):
        mask = torch.zeros_like(input_ids) if attention_mask is None else 1 - attention_mask
        hidden = self.embedding.word_embedding(input_ids)
        return self.transformer(hidden, mask.bool()[:, None, None], self.embedding.relative_embedding), [], []

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, return_dict=None) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self.get_contextualized_embeddings(input_ids, attention_mask)[0])


class NorbertForMaskedLM(NorbertModel):
    def __init__(self, config):
        super().__init__(config, add_mlm_layer=True)

    def get_output_embeddings(self):
        return self.classifier.nonlinearity[-1].weight

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, return_dict=None) -> MaskedLMOutput:
        logits = self.classifier(self.get_contextualized_embeddings(input_ids, attention_mask)[0])
        logits[:, :, : 106 + 1] = float("-inf")
        return MaskedLMOutput(logits=logits)
