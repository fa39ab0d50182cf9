"""format and mix at full size, next to the same work with `datasets` and to the time Arrow needs for the bytes alone.

    python benchmarks/data_pipeline.py --scale 0.1

Made-up sets of realistic sizes and lengths: 556,000 NLI triplets, 121,000 question–passage pairs and 968,000 DDSC rows of which 60% have no
negative, times ``--scale``. Each variant runs in its own process, which reports its seconds and its peak memory:

- ours: `stages.format.cleaning` for each set, then `stages.mix`.
- datasets, row by row: the users' scripts' way: map, filter, interleave_datasets with functions of one row.
- datasets, batched: the same with batched functions, which is the fastest that the library's interface allows in Python.
- Arrow: reads the columns of the raw files and writes them, reads these and writes them, the bytes that ours writes: the floor.

The `datasets` ways do less: they count no reasons, measure no lengths, and do not keep repeated texts out of a batch.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BATCH_SIZE, SEED = 16, 42
SETS = {
    "nli": {"rows": 556_000, "kind": "triplets", "columns": ["anchor", "positive", "negative"], "words": [12, 8, 8]},
    "supervised-da": {"rows": 121_000, "kind": "pairs", "columns": ["query", "pos"], "words": [9, 90]},
    "ddsc": {"rows": 968_000, "kind": "ddsc", "columns": ["query", "positive", "negative"], "words": [16, 60, 60]},
}


def vocabulary(generator: np.random.Generator, size: int = 60_000) -> pa.Array:
    """Made-up Nordic words, and the dashes and quotes that real text has."""
    onset, vowel, coda = (
        [*"bdfghjklmnprstv", "sk", "st", "tr"],
        list("aeiouy" * 5 + "æøåö"),
        ["", "n", "r", "t", "k", "s", "ng", "ll"],
    )
    words = [
        "".join(
            onset[generator.integers(len(onset))] + vowel[generator.integers(len(vowel))] + coda[generator.integers(len(coda))]
            for _ in range(generator.integers(1, 4))
        )
        for _ in range(size)
    ]
    for place, word in ((900, "–"), (1500, "“sitat”"), (2500, "Ødegård"), (4000, "½")):
        words[place] = word
    return pa.array(words)


def texts(generator: np.random.Generator, words: pa.Array, rows: int, mean_words: float) -> pa.Array:
    """Log-normal lengths, words by Zipf's law; one in fifty has a blank at its end, one in a thousand is empty."""
    lengths = np.maximum(1, generator.lognormal(np.log(mean_words), 0.5, rows)).astype(np.int64)
    lengths[generator.random(rows) < 0.001] = 0
    ranks = np.minimum((len(words) + 1.0) ** generator.random(int(lengths.sum())), len(words)).astype(np.int64) - 1
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, words.take(pa.array(ranks))), " ")
    blank = pa.array(np.where(generator.random(rows) < 0.02, " ", ""))
    return pc.binary_join_element_wise(joined, blank, "")


def generate(raw: Path, scale: float) -> None:
    """Write raw/<set>/train.parquet and raw/evaluation.json."""
    generator = np.random.default_rng(SEED)
    words = vocabulary(generator)
    for name, shape in SETS.items():
        (raw / name).mkdir(parents=True)
        writer, left = None, int(shape["rows"] * scale)
        while left:
            rows = min(left, 50_000)
            left -= rows
            columns = {c: texts(generator, words, rows, n) for c, n in zip(shape["columns"], shape["words"], strict=True)}
            again = generator.random(rows) < 0.01  # a repeated row, and in NLI a repeated premise
            order = pa.array(np.where(again, np.maximum(np.arange(rows) - 1, 0), np.arange(rows)))
            columns = {c: column.take(order) for c, column in columns.items()}
            if name == "nli":
                columns["anchor"] = columns["anchor"].take(pa.array(np.arange(rows) // 2 * 2))
            if name == "ddsc":
                columns["negative"] = pc.if_else(pa.array(generator.random(rows) < 0.4), columns["negative"], pa.scalar(None, pa.string()))
                columns["instruction"] = texts(generator, words, rows, 14)
                columns["task"] = pa.array(generator.choice(["retrieval", "unit-triple", "text-matching", "classification"], rows))
                columns["language"] = pa.array(generator.choice(["norwegian", "danish", "danish", "swedish"], rows))
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(raw / name / "train.parquet", table.schema)
            writer.write_table(table)
        if writer:
            writer.close()
    sample = pq.read_table(raw / "nli" / "train.parquet").slice(0, 200)["anchor"].to_pylist()
    (raw / "evaluation.json").write_text(json.dumps([*sample, *texts(generator, words, 20_000, 40).to_pylist()]), encoding="utf-8")


def ours(raw: Path, out: Path) -> dict[str, Any]:
    from stages.format.cleaning import format_set
    from stages.format.sources import reader
    from stages.format.sources.chunk import Options
    from stages.format.sources.folder import RawFolder
    from stages.mix.assembly import Source, mix
    from stages.mix.selection import EvaluationTexts

    started = time.perf_counter()
    options = Options(language="da")
    for name, shape in SETS.items():
        read = reader(shape["kind"])
        format_set(name, lambda split, read=read, name=name: read(RawFolder(raw / name), split, options), out / name)
    formatted = time.perf_counter()
    sources = [Source(name, out / name / "train.parquet") for name in SETS]
    evaluation = EvaluationTexts(queries=json.loads((raw / "evaluation.json").read_text(encoding="utf-8")))
    report = mix(sources, out / "mixed", batch_size=BATCH_SIZE, seed=SEED, evaluation=evaluation)
    return {"format": formatted - started, "mix": time.perf_counter() - formatted, "rows": report["total"]["used"]}


def floor(raw: Path, out: Path) -> dict[str, Any]:
    from stages.rows.parquet import RowGroupWriter, read_tables

    out.mkdir()
    files = []
    for name, shape in SETS.items():
        files.append(out / f"{name}.parquet")
        copy([raw / name / "train.parquet"], shape["columns"], files[-1], RowGroupWriter, read_tables)
    names = ["anchor", "positive", "negative"]
    rows = 0
    with RowGroupWriter(out / "mixed.parquet", pa.schema([(name, pa.string()) for name in names])) as writer:
        for file in files:
            for table in read_tables(file):
                table = table.rename_columns(names[: table.num_columns])
                if table.num_columns == 2:
                    table = table.append_column("negative", pa.nulls(len(table), pa.string()))
                writer.write(table)
                rows += len(table)
    return {"rows": rows}


def copy(sources: list[Path], columns: list[str], target: Path, writer_type: Any, read: Any) -> None:
    with writer_type(target, pa.schema([(name, pa.string()) for name in columns])) as writer:
        for source in sources:
            for table in read(source, columns):
                writer.write(table)


def with_datasets(raw: Path, out: Path, batched: bool) -> dict[str, Any]:
    import unicodedata

    import datasets

    datasets.disable_progress_bars()
    names = ["anchor", "positive", "negative"]

    def tidy(text: str | None) -> str | None:
        return unicodedata.normalize("NFC", text).strip() if text else None

    def fold(text: str) -> str:
        return " ".join(text.casefold().split())

    def each(function: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, list[Any]]], list[Any]]:
        return lambda rows: [function(dict(zip(rows, values, strict=True))) for values in zip(*rows.values(), strict=True)]

    def keep(data: Any, function: Callable[[dict[str, Any]], bool]) -> Any:
        return data.filter(each(function), batched=True) if batched else data.filter(function)

    forbidden = {fold(tidy(text) or "") for text in json.loads((raw / "evaluation.json").read_text(encoding="utf-8"))}
    everywhere: set[int] = set()

    def usable(row: dict[str, Any]) -> bool:
        return bool(row["anchor"] and row["positive"] and row["anchor"] != row["positive"] and len(row["positive"]) <= 100_000)

    def new(row: dict[str, Any]) -> bool:
        key = hash((row["anchor"], row["positive"], row["negative"]))
        if key in everywhere:
            return False
        everywhere.add(key)
        return True

    def unseen(row: dict[str, Any]) -> bool:
        return not any(row[name] and fold(row[name]) in forbidden for name in names)

    started = time.perf_counter()
    parts = []
    for name, shape in SETS.items():
        files = str(raw / name / "train.parquet")
        data = datasets.load_dataset("parquet", data_files=files, split="train", columns=shape["columns"], cache_dir=str(out / "cache"))
        data = data.rename_columns({old: fresh for old, fresh in zip(shape["columns"], names, strict=False) if old != fresh})
        if "negative" not in data.column_names:
            data = data.add_column("negative", pa.nulls(len(data), pa.string()).to_pylist(), feature=datasets.Value("string"))
        if batched:
            data = data.map(lambda rows: {name: [tidy(text) for text in rows[name]] for name in names}, batched=True)
        else:
            data = data.map(lambda row: {name: tidy(row[name]) for name in names})
        data = keep(keep(keep(data, usable), new), unseen)
        for has_negative in (False, True):
            part = keep(data, lambda row, wanted=has_negative: (row["negative"] is not None) == wanted)
            if len(part) >= BATCH_SIZE:
                parts.append(part.shuffle(seed=SEED).batch(BATCH_SIZE, drop_last_batch=True))
    formatted = time.perf_counter()
    mixed = datasets.interleave_datasets(parts, stopping_strategy="all_exhausted_without_replacement")
    mixed = mixed.map(lambda rows: {name: [text for batch in rows[name] for text in batch] for name in names}, batched=True)
    mixed.to_parquet(str(out / "mixed.parquet"))
    return {"format": formatted - started, "mix": time.perf_counter() - formatted, "rows": len(mixed)}


WAYS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "ours": ours,
    "datasets, row by row": lambda raw, out: with_datasets(raw, out, batched=False),
    "datasets, batched": lambda raw, out: with_datasets(raw, out, batched=True),
    "Arrow (floor)": floor,
}


def measure(way: str, raw: Path, work: Path) -> dict[str, Any]:
    """Run one variant in its own process; return its result with ``seconds``, ``cpu`` (seconds) and ``peak`` (MB)."""
    with tempfile.TemporaryDirectory(dir=work) as out:
        command = [sys.executable, __file__, "--way", way, "--work", str(raw), "--out", str(Path(out) / "out")]
        result: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the mission's rows (4 shows that memory is flat)")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS), metavar="WAY", help=f"of: {', '.join(WAYS)}")
    parser.add_argument("--work", type=Path, help="folder for the data; a temporary one by default")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        started = time.perf_counter()
        if arguments.way == "generate":
            generate(arguments.work, arguments.scale)
            return
        result = WAYS[arguments.way](arguments.work, arguments.out)
        seconds = time.perf_counter() - started
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024, **result}))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work, prefix="data-pipeline-") as folder:
        print(report(Path(folder), arguments.scale, arguments.ways))


def report(work: Path, scale: float, ways: list[str]) -> str:
    """Generate the data, run the ways, and lay the results side by side."""
    raw = work / "raw"
    subprocess.run([sys.executable, __file__, "--way", "generate", "--work", str(raw), "--scale", str(scale)], check=True)
    size = sum(path.stat().st_size for path in raw.rglob("*.parquet")) / 1e6
    rows = sum(int(shape["rows"] * scale) for shape in SETS.values())
    results = {way: measure(way, raw, work) for way in ways}
    reference = results.get("ours", {}).get("seconds")
    lines = [
        f"{rows:,} rows, {size:,.0f} MB of parquet, batches of {BATCH_SIZE}",
        f"{'':24}{'seconds':>9}{'format':>9}{'mix':>9}{'CPU s':>9}{'× ours':>9}{'peak MB':>9}{'rows used':>12}",
    ]
    for way, result in results.items():
        parts = "".join(f"{result[part]:9.1f}" if part in result else f"{'':9}" for part in ("format", "mix"))
        ratio = f"{result['seconds'] / reference:9.2f}" if reference else ""
        lines.append(f"{way:24}{result['seconds']:9.1f}{parts}{result['cpu']:9.1f}{ratio}{result['peak']:9.0f}{result['rows']:12,}")
    versions = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "numpy", "datasets", "xxhash"))
    lines.append(f"{versions}, Python {platform.python_version()}; {os.cpu_count()} cores, {processor()}")
    return "\n".join(lines)


def processor() -> str:
    """The processor's name, if the system gives it."""
    info = Path("/proc/cpuinfo")
    names: Iterator[str] = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name"))
    return next(names, platform.processor()) if info.exists() else platform.processor()


if __name__ == "__main__":
    main()
