"""A tiny fake model: right names and outer forms, no network inside. Not the demo model, which loads."""

import io
import json
import zipfile

NAME = "CompVis/stable-diffusion-v1-4"
BOTH = (".safetensors", ".bin")
UNET = "unet/diffusion_pytorch_model.bin"
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": ["transformers", "CLIPFeatureExtractor"],
    "requires_safety_checker": True,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
}
#: The smallest set of files that a pipeline of these parts loads from, with weights as .bin.
NEEDED = (
    "README.md",
    "LICENSE",
    "feature_extractor/preprocessor_config.json",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/pytorch_model.bin",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    UNET,
)
UNWANTED = (
    ".gitattributes",
    "sd-v1-4.ckpt",
    "sample.png",
    "vae/config.json",
    "vae/diffusion_pytorch_model.bin",
    "text_encoder/flax_model.msgpack",
    "text_encoder/pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.fp16.bin",
    "unet/diffusion_pytorch_model.non_ema.bin",
    "unet/model.py",
)

#: What lies beside the model in tests.
LICENCE = "CreativeML Open RAIL-M, as the test has it\n"


def torch_file(size):
    """Bytes of the outer form of torch's .bin files: a zip."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), bytes(range(256)) * (size // 256))
    return data.getvalue()


def tensors_file(size):
    """Bytes of a .safetensors file with one tensor."""
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def content(path):
    """What a file of that name holds in the fake model."""
    if path == "model_index.json":
        return json.dumps(INDEX).encode()
    if path.endswith(".json"):
        return json.dumps({"of": path}).encode()
    if path == UNET:
        return torch_file(60_000)
    return torch_file(9_000) if path.endswith(".bin") else tensors_file(5_000)


def model_files(*more):
    return {path: content(path) for path in (*NEEDED, *UNWANTED, *more)}


def write_model(folder):
    """Writes the needed files to ``folder``; returns it."""
    for path in NEEDED:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content(path))
    return folder
