"""A small Llama in PyTorch, for training: RMSNorm, rotary positions, grouped attention, SwiGLU, a tied head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The model's sizes. `head_size` is a multiple of 16, since the fused rotary kernels need that."""

    vocabulary: int = 1024
    width: int = 128
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 32
    hidden: int = 352
    context: int = 512
    rope_theta: float = 10000.0
    epsilon: float = 1e-5


class Llama(nn.Module):
    """Tokens to logits. The parameters are named as those of Hugging Face's Llama, without `model.`"""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm = _Norm(shape)
        self._rotation = rotary_tables(shape)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if deep else 0.02)

    def hidden(self, tokens: Tensor) -> Tensor:
        """What the head reads: [batch, length] token ids to [batch, length, width]."""
        length = tokens.shape[1]
        rotation = (self._rotation[0][:length], self._rotation[1][:length])
        state: Tensor = self.embed_tokens(tokens)
        for layer in self.layers:
            state = layer(state, rotation)
        normed: Tensor = self.norm(state)
        return normed

    def head(self, hidden: Tensor) -> Tensor:
        """Logits: [..., width] to [..., vocabulary]."""
        return functional.linear(hidden, self.embed_tokens.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of all positions."""
        return self.head(self.hidden(tokens))


class _Norm(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.width))
        self._epsilon = shape.epsilon

    def forward(self, state: Tensor) -> Tensor:
        return functional.rms_norm(state, state.shape[-1:], self.weight, self._epsilon)


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = _Norm(shape)
        self.self_attn = _Attention(shape)
        self.post_attention_layernorm = _Norm(shape)
        self.mlp = _Mlp(shape)

    def forward(self, state: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        state = state + self.self_attn(self.input_layernorm(state), rotation)
        processed: Tensor = self.mlp(self.post_attention_layernorm(state))
        return state + processed


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._head_size = shape.head_size
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head_size, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_size, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_size, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_size, shape.width, bias=False)

    def forward(self, state: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        query, key, value = (self._heads(project(state)) for project in (self.q_proj, self.k_proj, self.v_proj))
        query, key = _rotated(query, rotation), _rotated(key, rotation)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        attended: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return attended

    def _heads(self, projected: Tensor) -> Tensor:
        """[batch, length, heads * size] to [batch, heads, length, size]."""
        rows, length, _ = projected.shape
        return projected.view(rows, length, -1, self._head_size).transpose(1, 2)


class _Mlp(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down_proj = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, state: Tensor) -> Tensor:
        down: Tensor = self.down_proj(functional.silu(self.gate_proj(state)) * self.up_proj(state))
        return down


def rotary_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position's angles, [context, head_size / 2] each: halves rotated, not pairs."""
    exponents = torch.arange(0, shape.head_size, 2, dtype=torch.float64) / shape.head_size
    angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * shape.rope_theta**-exponents
    return angles.cos().float(), angles.sin().float()


def _rotated(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = rotation
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
