"""Like NorBERT 4: logits bounded to (0, 30) and shifted by one position; see the comments for what transformers 5 does not support."""

from __future__ import annotations

import math

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

from .configuration_gptbert import GptBertConfig


class ScaledLinear(nn.Linear):
    """Its weight is multiplied by (1 + scale)."""

    def __init__(self, inputs, outputs, bias):
        super().__init__(inputs, outputs, bias=bias)
        self.scale = nn.Parameter(torch.ones(inputs))

    def forward(self, x):
        return F.linear(x, (self.weight * (1.0 + self.scale)).type_as(x), self.bias)


class RotaryPositionalEmbeddings(nn.Module):
    def __init__(self, config, theta):
        super().__init__()
        size = config.query_key_head_size
        speeds = theta ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
        angles = torch.outer(torch.arange(config.max_sequence_length, dtype=torch.float32), speeds).repeat(1, 2)
        # Not persistent: after from_pretrained they are uninitialised memory.
        self.register_buffer("cos_matrix", angles.cos(), persistent=False)
        self.register_buffer("sin_matrix", angles.sin(), persistent=False)

    def forward(self, x):
        length, half = x.shape[2], x.shape[-1] // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
        return x * self.cos_matrix[:length] + turned * self.sin_matrix[:length]


class SelfAttention(nn.Module):
    def __init__(self, config, index):
        super().__init__()
        self.heads, self.size = config.num_attention_heads, config.query_key_head_size
        width = self.heads * self.size
        self.project = ScaledLinear(config.hidden_size, 3 * width, bias=False)
        self.output = ScaledLinear(width, config.hidden_size, bias=False)
        self.rope_embedding = RotaryPositionalEmbeddings(config, 160_000 if (index + 1) % config.local_global_ratio == 0 else 10_000)
        self.lambdas = nn.Parameter(torch.tensor([0.5]))  # not used by layer 0
        self.is_causal = config.is_decoder  # transformers 5 does not set it

    def forward(self, hidden, first_values, mask):
        parts = self.project(hidden).view(*hidden.shape[:2], 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        query, key, value = self.rope_embedding(parts[0]), self.rope_embedding(parts[1]), parts[2]
        if first_values is None:
            first_values = value
        else:
            value = (1 - self.lambdas[0]) * value + self.lambdas[0] * first_values
        scores = (query @ key.transpose(-1, -2) / math.sqrt(self.size)).masked_fill(~mask, float("-inf"))
        mixed = torch.softmax(scores, dim=-1) @ value
        return self.output(mixed.transpose(1, 2).flatten(2)), first_values


class Layer(nn.Module):
    def __init__(self, config, index):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, elementwise_affine=False)
        self.attention = SelfAttention(config, index)
        self.mlp = nn.Sequential(nn.LayerNorm(config.hidden_size, elementwise_affine=False), ScaledLinear(*[config.hidden_size] * 2, True))
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden, first_values, mask):
        attended, first_values = self.attention(self.norm(hidden), first_values, mask)
        hidden = hidden + self.dropout(attended)
        return hidden + self.dropout(F.gelu(self.mlp(hidden))), first_values


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList([Layer(config, index) for index in range(config.num_layers)])

    def forward(self, hidden, mask, checkpoint_activations=False):
        first_values = None
        for layer in self.layers:
            if checkpoint_activations:  # whatever the caller's setting
                hidden, first_values = torch.utils.checkpoint.checkpoint(layer, hidden, first_values, mask, use_reentrant=True)
            else:
                hidden, first_values = layer(hidden, first_values, mask)
        return hidden


class Embedding(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, elementwise_affine=False)

    def forward(self, input_ids):
        return self.norm(self.word_embedding(input_ids))


class LMClassifier(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.projection = ScaledLinear(config.hidden_size, config.hidden_size, bias=False)
        self.post_norm = nn.LayerNorm(config.hidden_size, elementwise_affine=False)
        self.emb2vocab = ScaledLinear(config.hidden_size, config.vocab_size, bias=True)

    def forward(self, hidden):
        return self.emb2vocab(self.post_norm(F.gelu(self.projection(hidden))))


class GptBertModel(PreTrainedModel):
    config_class = GptBertConfig
    supports_gradient_checkpointing = True

    def __init__(self, config, add_mlm_layer=False, **kwargs):
        super().__init__(config, **kwargs)
        self.embedding = Embedding(config)
        self.encoder = Encoder(config)
        self.classifier = LMClassifier(config) if add_mlm_layer else None
        self.gradient_checkpointing = False
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def get_input_embeddings(self):
        return self.embedding.word_embedding

    def get_contextualized_embeddings(self, input_ids, attention_mask=None, output_hidden_states=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        checkpointing = self.gradient_checkpointing and self.training
        return self.encoder(self.embedding(input_ids), mask.bool()[:, None, None], checkpointing), None

    def forward(self, input_ids=None, attention_mask=None, output_hidden_states=None, return_dict=None, **kwargs) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self.get_contextualized_embeddings(input_ids, attention_mask)[0])


class GptBertForMaskedLM(GptBertModel):
    _tied_weights_keys = ["classifier.emb2vocab.weight"]  # noqa: RUF012 – a list, as transformers 4 had it; and __init__ ties nothing

    def __init__(self, config, **kwargs):
        super().__init__(config, add_mlm_layer=True, **kwargs)

    def get_output_embeddings(self):
        return self.classifier.emb2vocab.weight  # a tensor, not a module

    def forward(self, input_ids=None, attention_mask=None, output_hidden_states=None, return_dict=None, **kwargs) -> MaskedLMOutput:
        logits = 30 * torch.sigmoid(self.classifier(self.get_contextualized_embeddings(input_ids, attention_mask)[0]) / 7.5)
        first = torch.zeros_like(logits[:, :1])
        first[:, :, self.config.bos_token_id] = 1.0
        return MaskedLMOutput(logits=torch.cat([first, logits[:, :-1]], dim=1))
