"""`nordic-sparse`: its list of commands, their help, and the error for an unknown argument."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from stages.commands.__main__ import COMMANDS, MODULES, main, run
from tests import ROOT
from tests.refused import refused


def test_every_module_is_a_command() -> None:
    modules = {MODULES.get(name, name) for name in COMMANDS}
    assert {path.stem for path in (ROOT / "stages/commands").glob("[a-z]*.py")} == modules | {"modal_app"}  # which `modal run` starts


def test_no_module_shadows_the_package_modal() -> None:
    assert not list((ROOT / "stages").rglob("modal.py"))


@pytest.mark.parametrize("module", ["modal_cloud", "modal_launcher"])
def test_without_modal_the_error_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modal", None)
    for name in ("modal_cloud", "modal_launcher"):
        monkeypatch.delitem(sys.modules, f"stages.launchers.{name}", raising=False)
    with refused("modal: is not installed … modal setup"):
        import_module(f"stages.launchers.{module}")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_describes_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run([name, "--help"])
    usage, _, description = capsys.readouterr().out.splitlines()[:3]
    assert ended.value.code == 0 and usage.startswith(f"Usage: nordic-sparse {name} ")
    assert description.strip()


@pytest.mark.parametrize(("arguments", "fault"), [(["repot"], "Did you mean 'report'"), (["report", "--all"], "--all"), ([], "report")])
def test_a_mistyped_command_or_option_is_named(arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2 and fault in capsys.readouterr().err


def test_the_list_of_commands_imports_no_command() -> None:
    code = "import sys; from stages.commands.__main__ import main; sys.argv[1:] = ['--help']\ntry: main()\nfinally: print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert all(does in shown for does in COMMANDS.values())
    assert not {"pydantic", "ruamel.yaml", "torch", *(f"stages.commands.{name}" for name in COMMANDS)} & set(shown.split())


def test_in_a_subfolder_a_command_says_where_to_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    with refused(f"docs: is a subfolder of the checkout; run the command in {tmp_path}"):
        run(["report"])


def test_the_installed_script_starts_it() -> None:
    [(name, target)] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"].items()
    module, _, function = target.partition(":")
    assert name == "nordic-sparse" and getattr(import_module(module), function) is main
