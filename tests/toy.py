"""A checkout whose pipeline has this project's files and stages but takes no time: for tests of what runs around a training run.

Git and dvc are real. The model is the learning rate; a rate above .5 collapses. Each step waits, so that it can be killed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests import ROOT

STAGES = """\
params: [resolved.yaml]
stages:
  resolve: {always_changed: true, cmd: python resolve.py, deps: [params.yaml], outs: [resolved.yaml: {cache: false, persist: true}]}
  mix: {cmd: python note.py mix data.txt, deps: [note.py], outs: [data.txt]}
  validation: {cmd: python note.py validation dev.txt, deps: [note.py], outs: [dev.txt]}
  make-base: {cmd: python note.py make-base base.txt, deps: [note.py], outs: [base.txt]}
  download-model: {cmd: python note.py download-model base-model.txt, deps: [note.py], outs: [base-model.txt]}
  train: {cmd: python train.py, deps: [resolved.yaml, data.txt, train.py], outs: [models]}
  evaluate:
    cmd: python evaluate.py
    deps: [models, evaluate.py]
    outs: [metrics/evaluation.json]
    metrics: [metrics/summary.json: {cache: false}]
"""
FILES = {
    "dvc.yaml": STAGES,
    "note.py": """\
import os, sys
from pathlib import Path
Path(sys.argv[2]).write_text("x")
with Path(os.environ.get("NORDIC_SPARSE_ROOT", "."), "ran.txt").open("a") as file:
    file.write(sys.argv[1] + "\\n")
""",
    "resolve.py": """\
import json
from ruamel.yaml import YAML
values = YAML(typ="safe").load(open("params.yaml"))
keys = ("learning_rate", "max_steps", "weight_decay", "eval_steps")
kept = {"seed": values["seed"], **{key: values["training"][key] for key in keys}}
open("resolved.yaml", "w").write(json.dumps(kept))
""",
    "train.py": """\
import json, os, sys, time
from pathlib import Path
values = json.loads(Path("resolved.yaml").read_text())
if values["learning_rate"] > .5:
    sys.exit(print("error: training: the model collapsed; lower training.learning_rate", file=sys.stderr) or 2)
steps, state = values["max_steps"] or 4, Path("checkpoints/step.txt")
state.parent.mkdir(exist_ok=True)
first = int(state.read_text()) if state.exists() else 0
def log(step, **more):
    line = json.dumps({"step": step, "steps": steps, "time": time.time(), **more})
    print(line, file=open(os.environ.get("NORDIC_SPARSE_PROGRESS", os.devnull), "a"))
log(first)
score = 1 - abs(values["learning_rate"] - .1) + values["seed"] / 1e4
for step in range(first + 1, steps + 1):
    time.sleep(float(os.environ.get("TOY_STEP", .02)))
    Path("checkpoints/next.txt").write_text(str(step))
    os.replace("checkpoints/next.txt", state)  # a kill leaves no half a checkpoint, as training's own
    log(step, loss=1 / step, **({"score": score * step / steps} if values["eval_steps"] else {}))
Path("models").mkdir()
Path("models/score.txt").write_text(f"{score} {first}")
Path("models/training.csv").write_text(f"step,eval_mean_ndcg@10,loss\\n{steps},{score},0.1\\n")
""",
    "evaluate.py": """\
import json
from pathlib import Path
score, first = Path("models/score.txt").read_text().split()
mean = {"ndcg@10": float(score), "flops": 2 - float(score), "tokens_lost": float(first)}
Path("metrics/evaluation.json").write_text(json.dumps({"mean": mean}))
Path("metrics/summary.json").write_text(json.dumps({"ndcg@10": float(score)}))
""",
    ".gitignore": "/ran.txt\n/sweeps/*/\n/mlflow.*\n__pycache__/\n",
    ".dvcignore": "/params.yaml\n/sweeps\n/checkpoints\n",
}  # fmt: skip
FINE = "method: grid\nparameters:\n  training.learning_rate: [0.01, 0.1, 0.3]\nfixed: {training.max_steps: 4}\n"


class Toy:
    """The checkout in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        shutil.copy(ROOT / "params.yaml", folder)
        (folder / "sweeps").mkdir()
        (folder / "metrics").mkdir()
        names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "NORDIC_"))},
            **{f"GIT_{name}": "test@example.org" for name in names},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run("dvc", "init", "--quiet")
        (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    autostage = true\n")
        self.commit()

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "--quiet", "--allow-empty", "-m", "toy")

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command, in a session of its own."""
        command = (sys.executable, "-m", *command[1:]) if command[0] == "python" else command
        return subprocess.Popen(
            command, cwd=self.folder, env={**self.environment, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str, status: int = 0, **environment: str) -> str:
        """Run a command; any other exit status fails the test."""
        process = self.start(*command, **environment)
        output, _ = process.communicate(timeout=1200)
        assert process.returncode == status, f"{command} ended with {process.returncode}:\n{output}"
        return output

    def write(self, text: str = FINE, name: str = "s") -> str:
        """Write a sweep file; returns its path."""
        (self.folder / "sweeps" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return f"sweeps/{name}.yaml"

    def sweep(self, *arguments: str, status: int = 0, **environment: str) -> str:
        return self.run("python", "stages.commands", "sweep", *arguments, status=status, **environment)

    def ran(self) -> list[str]:
        """The data stages that ran, in this checkout or a clone."""
        path = self.folder / "ran.txt"
        return path.read_text().split() if path.exists() else []
