"""Models of two layers with random weights, one for each family that users finetune."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t
from torch.overrides import TorchFunctionMode

V = 61
SMALL: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def causal(config: type, kind: type, **more: Any) -> Callable[[], Any]:
    return lambda: kind(config(**(SMALL | more)))


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
T5: dict[str, Any] = {
    "vocab_size": V,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
BART: dict[str, Any] = {
    "vocab_size": V,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "decoder_start_token_id": 2,
    "max_position_embeddings": 128,
}
# Attention only: rows may share the keys and values of a prefix.
SHARING = {
    "llama": causal(t.LlamaConfig, t.LlamaForCausalLM),
    "llama, tied": causal(t.LlamaConfig, t.LlamaForCausalLM, tie_word_embeddings=True),
    "cohere (scaled)": causal(t.CohereConfig, t.CohereForCausalLM, logit_scale=0.25, tie_word_embeddings=True),
    "cohere2 (scaled, sliding)": causal(t.Cohere2Config, t.Cohere2ForCausalLM, logit_scale=0.5, sliding_window=8),
    "granite (scaled)": causal(t.GraniteConfig, t.GraniteForCausalLM, logits_scaling=4.0),
    "gemma2 (capped, sliding)": causal(
        t.Gemma2Config, t.Gemma2ForCausalLM, head_dim=8, final_logit_softcapping=3.0, sliding_window=8
    ),
    "gemma3 (sliding)": causal(t.Gemma3TextConfig, t.Gemma3ForCausalLM, head_dim=8, sliding_window=8),
    "mistral (sliding)": causal(t.MistralConfig, t.MistralForCausalLM, sliding_window=8),
    "phi (biased)": causal(t.PhiConfig, t.PhiForCausalLM, num_key_value_heads=4),
    "opt (projected)": causal(t.OPTConfig, t.OPTForCausalLM, word_embed_proj_dim=16, ffn_dim=48),
    "gpt2 (learned positions)": causal(t.GPT2Config, t.GPT2LMHeadModel, tie_word_embeddings=True),
    "gpt-neox": causal(t.GPTNeoXConfig, t.GPTNeoXForCausalLM),
    "bloom (alibi)": causal(t.BloomConfig, t.BloomForCausalLM, n_head=4),
    "qwen3": causal(t.Qwen3Config, t.Qwen3ForCausalLM, head_dim=8),
    "qwen2-moe": causal(t.Qwen2MoeConfig, t.Qwen2MoeForCausalLM, **EXPERTS, shared_expert_intermediate_size=16),
    "qwen3-moe": causal(t.Qwen3MoeConfig, t.Qwen3MoeForCausalLM, **EXPERTS, head_dim=8),
    "mixtral": causal(t.MixtralConfig, t.MixtralForCausalLM, num_local_experts=4),
}
# A state space, an encoder: they may not.
APART = {
    "mamba": causal(t.MambaConfig, t.MambaForCausalLM, state_size=8),
    "mamba2": causal(t.Mamba2Config, t.Mamba2ForCausalLM, num_heads=8, head_dim=8, state_size=8, n_groups=2),
    "falcon-h1 (hybrid, scaled)": causal(
        t.FalconH1Config, t.FalconH1ForCausalLM, mamba_d_ssm=64, mamba_n_heads=8, mamba_d_head=8, mamba_d_state=8,
        lm_head_multiplier=0.5,
    ),
    "t5 (tied, scaled)": lambda: t.T5ForConditionalGeneration(t.T5Config(**T5)),
    "t5 v1.1": lambda: t.T5ForConditionalGeneration(
        t.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "bart": lambda: t.BartForConditionalGeneration(t.BartConfig(**BART)),
}  # fmt: skip
FAMILIES = SHARING | APART


def build(name: str, dtype: torch.dtype) -> Any:
    """The same weights each time, large enough that predictions are not uniform."""
    torch.manual_seed(7)
    model = FAMILIES[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(0.5 / parameter.std().clamp_min(1e-3) / parameter.shape[-1] ** 0.25)
        bias = getattr(model.get_output_embeddings(), "bias", None)
        if bias is not None:
            bias.normal_()
    return widened(model) if dtype == torch.float64 else model


def widened(model: Any) -> Any:
    """In float64, which the fast products of experts do not have."""
    if getattr(model.config, "num_experts_per_tok", None):
        model.set_experts_implementation("eager")
    return model.double()


class Wide(TorchFunctionMode):
    """Leaves out the casts to float32 that norms and routers do, so that float64 is float64 throughout."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if part is torch.float32 else part for part in args)
        wide = {key: torch.float64 if part is torch.float32 else part for key, part in (kwargs or {}).items()}
        return func(*args, **wide)


def saved(name: str, stories: Path, folder: Path) -> Path:
    """A model of a family in a folder, with the tokenizer of the smallest real model."""
    build(name, torch.float32).save_pretrained(folder)
    for file in stories.glob("tokenizer*"):
        shutil.copyfile(file, folder / file.name)
    return folder
