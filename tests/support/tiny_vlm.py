"""Vision-language models with random weights and processors to match, one for each family that users finetune."""

from collections.abc import Callable
from typing import Any

import torch
import transformers as t
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from oresight.tasks.scoring.vision import NoVideos, stills

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EYE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 8,
    "image_size": 32,
}
HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
Made = tuple[Any, Any]


def chatty(mark: str, first: str = "", end: str = "</s>") -> str:
    """A chat template in which `mark` stands for a picture."""
    return (
        first + "{% for message in messages %}{{ message['role'] + ': ' }}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '" + mark + "' }}"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
        "{{ '" + end + "\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )


def tokenizer(*special: str, **named: str) -> t.PreTrainedTokenizerFast:
    """Bytes, and the family's own marks."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    names = ["<pad>", "<s>", "</s>", *special]
    trainer = trainers.BpeTrainer(
        vocab_size=len(names) + 300, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    inner.train_from_iterator(["user: what is this? assistant: yes, no, red, green"], trainer)
    more = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    found = t.PreTrainedTokenizerFast(tokenizer_object=inner, **more, extra_special_tokens=named)
    found.add_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return found


def llava() -> Made:
    words = tokenizer("<image>")
    size = {"height": 32, "width": 32}
    seer = t.CLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False, **HALVES)
    processor = t.LlavaProcessor(
        seer, words, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=chatty("<image>\\n"),
    )  # fmt: skip
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**EYE, projection_dim=32),
        text_config=t.LlamaConfig(vocab_size=len(words), **TEXT),
        image_token_id=processor.image_token_id,
        vision_feature_layer=-1,
    )
    return t.LlavaForConditionalGeneration(config), processor


def qwen(family: str) -> Made:
    words = tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    number = words.convert_tokens_to_ids
    marks = {
        "image_token_id": number("<|image_pad|>"),
        "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"),
        "vision_end_token_id": number("<|vision_end|>"),
    }
    sizes = {"size": {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}, "patch_size": 8}
    seer = t.Qwen2VLImageProcessorPil(**sizes, **HALVES)
    look = "<|vision_start|><|image_pad|><|vision_end|>"
    kind, config, model = {
        "qwen2-vl": (t.Qwen2VLProcessor, t.Qwen2VLConfig, t.Qwen2VLForConditionalGeneration),
        "qwen2.5-vl": (t.Qwen2_5_VLProcessor, t.Qwen2_5_VLConfig, t.Qwen2_5_VLForConditionalGeneration),
        "qwen3-vl": (t.Qwen3VLProcessor, t.Qwen3VLConfig, t.Qwen3VLForConditionalGeneration),
    }[family]
    processor = stills(kind)(seer, words, NoVideos(), chat_template=chatty(look))
    eye: dict[str, Any] = {"depth": 2, "num_heads": 4, "patch_size": 8, "temporal_patch_size": 2}
    rope: dict[str, Any] = {"rope_type": "default", "mrope_section": [1, 1, 2]}
    more: dict[str, Any] = {}
    if family == "qwen2-vl":
        eye |= {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    elif family == "qwen2.5-vl":
        eye |= {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48, "fullatt_block_indexes": [1]}
        eye |= {"window_size": 32}
    else:
        eye |= {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48, "num_position_embeddings": 64}
        eye |= {"deepstack_visual_indexes": [0]}
        more = {"head_dim": 8}
    text = {"vocab_size": len(words), **TEXT, **more, "rope_parameters": rope | {"rope_theta": 10000.0}}
    return model(config(text_config=text, vision_config=eye, **marks)), processor


def idefics(family: str) -> Made:
    rows = [f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)]
    words = tokenizer("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *rows)
    smol = family == "smolvlm"
    kind = t.SmolVLMImageProcessorPil if smol else t.Idefics3ImageProcessorPil
    seer = kind(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, **HALVES)
    template = chatty("<image>", end="<end_of_utterance>")
    if smol:
        processor = stills(t.SmolVLMProcessor)(seer, words, NoVideos(), image_seq_len=4, chat_template=template)
    else:
        processor = t.Idefics3Processor(seer, words, image_seq_len=4, chat_template=template)
    config = (t.SmolVLMConfig if smol else t.Idefics3Config)(
        vision_config=EYE,
        text_config=t.LlamaConfig(vocab_size=len(words), **TEXT),
        scale_factor=2,
        image_token_id=processor.image_token_id,
        pad_token_id=0,
    )
    model = t.SmolVLMForConditionalGeneration if smol else t.Idefics3ForConditionalGeneration
    return model(config), processor


def gemma3() -> Made:
    words = tokenizer(
        "<start_of_image>", "<end_of_image>", "<image_soft_token>",
        boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>",
    )  # fmt: skip
    seer = t.Gemma3ImageProcessorPil(size={"height": 32, "width": 32}, **HALVES)
    template = chatty("<start_of_image>", first="{{ bos_token }}")
    processor = t.Gemma3Processor(seer, words, image_seq_length=4, chat_template=template)
    config = t.Gemma3Config(
        text_config=t.Gemma3TextConfig(vocab_size=len(words), head_dim=8, sliding_window=16, **TEXT),
        vision_config=EYE,
        mm_tokens_per_image=4,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        image_token_index=words.image_token_id,
        image_token_id=words.image_token_id,
    )
    return t.Gemma3ForConditionalGeneration(config), processor


def paligemma() -> Made:
    words = tokenizer("<image>")
    seer = t.SiglipImageProcessorPil(size={"height": 32, "width": 32}, **HALVES)
    seer.image_seq_length = 16
    processor = t.PaliGemmaProcessor(seer, words)
    config = t.PaliGemmaConfig(
        text_config=t.GemmaConfig(vocab_size=len(words), head_dim=8, **TEXT),
        vision_config=EYE,
        image_token_id=processor.image_token_id,
        image_token_index=processor.image_token_id,
        projection_dim=32,
        hidden_size=32,
    )
    return t.PaliGemmaForConditionalGeneration(config), processor


def internvl() -> Made:
    words = tokenizer(
        "<img>", "</img>", "<IMG_CONTEXT>", "<video>",
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>",
    )  # fmt: skip
    seer = t.GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=4, **HALVES)
    template = chatty("<IMG_CONTEXT>\\n")
    processor = stills(t.InternVLProcessor)(seer, words, NoVideos(), image_seq_length=4, chat_template=template)
    config = t.InternVLConfig(
        vision_config=EYE | {"image_size": [32, 32], "patch_size": [8, 8]},
        text_config=t.Qwen2Config(vocab_size=len(words), **TEXT),
        image_token_id=processor.image_token_id,
        image_seq_length=4,
    )
    return t.InternVLForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], Made]] = {
    "llava": llava,
    "qwen2-vl": lambda: qwen("qwen2-vl"),
    "qwen2.5-vl": lambda: qwen("qwen2.5-vl"),
    "qwen3-vl": lambda: qwen("qwen3-vl"),
    "idefics3": lambda: idefics("idefics3"),
    "smolvlm": lambda: idefics("smolvlm"),
    "gemma3": gemma3,
    "paligemma": paligemma,
    "internvl": internvl,
}


def build(name: str, dtype: torch.dtype) -> Made:
    """The same weights each time, large enough that predictions are not uniform."""
    torch.manual_seed(7)
    model, processor = FAMILIES[name]()
    model = model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(0.5 / parameter.std().clamp_min(1e-3) / parameter.shape[-1] ** 0.25)
    return (model.double() if dtype == torch.float64 else model), processor
