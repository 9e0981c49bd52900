"""Where the network runs and in which precision: chosen in this one place, and said aloud."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_precision(asked: str, device: torch.device) -> str:
    """``auto`` is bf16 where the hardware multiplies it natively (CUDA from Ampere on; CPUs with AMX or
    AVX-512 BF16), else fp32; anything else is taken as asked."""
    if asked != "auto" and not (asked == "fp16" and device.type == "cpu"):  # which has no fp16 recurrence
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and _cpu_multiplies_bf16():
        return "bf16"
    return "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision for the block, or nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    kind = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=kind)


def _cpu_multiplies_bf16() -> bool:
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
