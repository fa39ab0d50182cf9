"""What serves queries without this project's packages: an inference-free query encoder, or an ONNX network."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stages.commands.explain import FINAL, load
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write

OUTPUT = Path("query-encoder")


def main(
    query_encoder: Annotated[bool, typer.Option("--query-encoder", help="Tokenizer and weights of an inference-free model.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="An ONNX network of SPLADE or csr; needs the extra onnx.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="With --onnx: weights as 8-bit integers.")] = False,
    model: Annotated[Path, typer.Option(metavar="FOLDER", help="Model to export.")] = FINAL,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write; an earlier export there is replaced.")] = OUTPUT,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Allow the Python code in FOLDER to run.")] = False,
) -> None:
    """Write what encodes a model's queries, without torch, to a folder with an example that runs: encode.py.

    \b
    nordic-sparse export --query-encoder
    nordic-sparse export --onnx --int8 --output query-int8
    """
    if query_encoder == onnx:
        raise UserError("export: needs one form; give --query-encoder (inference-free) or --onnx (SPLADE, csr)")
    if int8 and not onnx:
        raise UserError("--int8: is for --onnx; leave it out")
    output = output.absolute()
    earlier = all((output / name).is_file() for name in ("encode.py", "query.json"))
    if output.exists() and not earlier and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"--output: {output} must be a new folder or an earlier export, got something else; name another")
    encoder = load(model, trust_remote_code)

    from stages.export import network
    from stages.export import query_encoder as tables
    from stages.retrieval.treatment import Treatment

    max_dims = Treatment.read(model).max_query_dims
    with atomic_write(output) as folder:
        folder.mkdir()
        write = partial(network.write, int8=int8) if onnx else partial(tables.write, name=model.absolute().name)
        needs = write(encoder, folder, max_dims=max_dims)
        size = sum(file.stat().st_size for file in folder.iterdir())
    print(f'{output}: {size / 1e6:.1f} MB; `python {output / "encode.py"} "…"` needs {needs}')
