"""DVC's own time: a `dvc repro` with nothing to do, next to a project of two stages, and the CPU time inside DVC in the sample's first run.

`python benchmarks/dvc_time.py [COMMIT …]`, by default HEAD. Each commit is cloned and run once, which trains the sample.
"""

import argparse
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

REPOSITORY = Path(__file__).resolve().parents[1]
ROUNDS = 7
ITSELF = """
import resource, sys
from dvc.cli import main
code = main(["repro", "--quiet"])
used = resource.getrusage(resource.RUSAGE_SELF)  # without its children
print(f"CPU {used.ru_utime + used.ru_stime}")
sys.exit(code)
"""
TWO_STAGES = """
stages:
  one: {cmd: echo 1 > one.txt, outs: [one.txt]}
  two: {cmd: cp one.txt two.txt, deps: [one.txt], outs: [two.txt]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="*", default=["HEAD"])
    print(f"dvc {version('dvc')}, Python {sys.version.split()[0]}, medians of {ROUNDS}")
    with TemporaryDirectory() as folder:
        projects = {"two stages": two_stages(Path(folder) / "two")}
        for commit in parser.parse_args().commits:
            projects[commit] = Path(folder) / commit
            subprocess.run(["git", "clone", "--quiet", REPOSITORY, projects[commit]], check=True)
            subprocess.run(["git", "checkout", "--quiet", commit], cwd=projects[commit], check=True)
            wall, cpu = repro(projects[commit])
            print(f"{commit}: first run {wall:.1f} s, of it {cpu:.1f} s of CPU inside dvc")
        runs = [{name: repro(project) for name, project in projects.items()} for _ in range(ROUNDS)]
    for name in projects:
        walls, cpus = zip(*(run[name] for run in runs), strict=True)
        more = statistics.median(run[name][0] - run["two stages"][0] for run in runs)
        print(f"{name}: no-op {statistics.median(walls):.2f} s ({more:+.2f} s), {statistics.median(cpus):.2f} s of CPU inside dvc")


def two_stages(folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".dvc" / "config").write_bytes((REPOSITORY / ".dvc" / "config").read_bytes())
    (folder / "dvc.yaml").write_text(TWO_STAGES, encoding="utf-8")
    repro(folder)
    return folder


def repro(project: Path) -> tuple[float, float]:
    """Seconds of one `dvc repro`, and its own CPU seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", ITSELF], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    return time.perf_counter() - start, float(done.stdout.rsplit("CPU ", 1)[1])


if __name__ == "__main__":
    main()
