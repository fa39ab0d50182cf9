"""The Triton kernel agrees with torch in Triton's interpreter, and compiles for real cards; no card is needed."""

import os
import subprocess
import sys

import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("case", ["values_and_gradients", "half_precision", "no_tokens", "nan", "tf32", "fast_model", "probed"])
def test_in_the_interpreter(case: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.unit.encoders.fast.triton_cases", case],
        check=True,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        timeout=600,
    )


@linux
@pytest.mark.slow
@pytest.mark.parametrize("card, terms, memory", [(80, 128, 99), (90, 256, 227)])  # Ampere, Hopper; KB of the smallest of each
@pytest.mark.parametrize(
    "dtype, bytes_each, precision", [("bf16", 2, "ieee"), ("fp16", 2, "ieee"), ("fp32", 4, "tf32"), ("fp32", 4, "ieee")]
)
def test_the_compiled_kernel_uses_tensor_cores_if_they_are_exact_enough_and_fits_the_card(
    card: int,
    terms: int,
    memory: int,
    dtype: str,
    bytes_each: int,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: os.PathLike[str],
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from stages.encoders.fast.triton_maxima import OPTIONS, TOKENS, kernel, width

    constants = {"TOKENS": TOKENS, "TERMS": terms, "WIDTH": width(bytes_each), "PRECISION": precision, "WINNERS": True}
    signature = dict.fromkeys(("tokens", "weight", "pooled"), f"*{dtype}") | dict.fromkeys(("starts", "winners"), "*i32")
    signature |= {"outputs": "i32", "hidden": "i32"} | dict.fromkeys(constants, "constexpr")
    aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(kernel.arg_names) if name not in {"outputs", *constants}}
    signature = {name: signature[name] for name in kernel.arg_names}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    compiled = triton.compile(source, target=GPUTarget("cuda", card, 32), options=OPTIONS)
    assert ("mma" in compiled.asm["ptx"]) == (precision == "tf32" or bytes_each == 2)
    assert compiled.metadata.shared <= memory * 1024
