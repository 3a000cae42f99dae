"""packaging/start.py: what it decides, without network and without installing anything."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "packaging" / "start.py"


@pytest.fixture(scope="module")
def start() -> ModuleType:
    """The script as a module, loaded by path: a package named `packaging` would shadow everybody's dependency."""
    spec = importlib.util.spec_from_file_location("vitrine_start", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def elsewhere(start: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of its own with a whole environment, so that nothing here is touched."""
    (tmp_path / "packaging").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "packaging" / "constraints.txt").write_text("torch==2.13.0\n")
    environment = tmp_path / ".venv"
    python = start.environment_python(environment)
    python.parent.mkdir(parents=True)
    python.write_text("")
    monkeypatch.setattr(start, "ROOT", tmp_path)
    monkeypatch.setattr(start, "ENVIRONMENT", environment)
    monkeypatch.setattr(start, "STAMP", environment / "stamp.json")
    monkeypatch.setattr(start, "environment_python", lambda: python)
    return tmp_path


def stamped(start: ModuleType, *extras: str, platforms: tuple[str, ...] = ()) -> None:
    """Leave the stamp of a finished installation."""
    start.write_stamp(start.STAMP, start.Stamp(start.inputs_of(start.ROOT), extras, platforms))


class Forbidden(Exception):
    """Something was called that should not have been."""


def forbidden(*arguments: object, **options: object) -> None:
    """Stands in for what must not be called."""
    raise Forbidden


def report(version: str) -> dict[str, Any]:
    """What pip's dry run reports for one package, cut to what is read."""
    return {"version": "1", "install": [{"metadata": {"name": "torch", "version": version}}]}


# --- Python and torch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 14, 0), (4, 0, 0)])
def test_a_python_new_enough_is_accepted(start: ModuleType, version: tuple[int, ...]) -> None:
    assert start.python_complaint(version) is None


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 8, 0), (2, 7, 18)])
def test_an_old_python_is_named_in_one_sentence(start: ModuleType, version: tuple[int, ...]) -> None:
    complaint = start.python_complaint(version)
    assert "3.11" in complaint and ".".join(map(str, version)) in complaint


@pytest.mark.parametrize(
    ("resolved", "system", "nvidia", "part"),
    [
        ("2.13.0", "linux", False, "cpu"),
        ("2.13.0+cpu", "linux", False, None),
        ("2.13.0", "linux", True, None),
        ("2.13.0+cpu", "linux", True, None),
        ("2.13.0", "darwin", False, None),
        ("2.13.0", "win32", False, None),
        ("2.13.0", "win32", True, "cu130"),
        ("2.13.0+cu130", "win32", True, None),
    ],
)
def test_torch_comes_from_its_own_index_only_where_the_usual_one_holds_the_wrong_build(
    start: ModuleType, resolved: str, system: str, nvidia: bool, part: str | None
) -> None:
    plan = start.torch_plan(report(resolved), system, nvidia)
    assert plan.part == part
    assert plan.reason.endswith(".")


def test_the_constraints_pin_every_dependency_exactly(start: ModuleType) -> None:
    import tomllib

    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", start.CONSTRAINTS.read_text("utf-8"), re.MULTILINE))
    pinned = {name.lower().replace("_", "-") for name in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert {re.split(r"[<>=]", line)[0].lower().replace("_", "-") for line in asked} <= pinned
    assert pins["torch"] == "2.13.0"


def test_only_one_host_is_named_in_the_whole_script(start: ModuleType) -> None:
    assert set(re.findall(r"https?://[^/\"\s]+", SCRIPT.read_text("utf-8"))) == {start.TORCH_INDEX.split("/whl")[0]}


# --- the stamp ----------------------------------------------------------------------------------------------------


def test_a_stamp_comes_back_as_it_was_written(start: ModuleType, tmp_path: Path) -> None:
    stamp = start.Stamp("abc", ("test",), ("xcb", "offscreen"))
    start.write_stamp(tmp_path / "stamp.json", stamp)
    assert start.read_stamp(tmp_path / "stamp.json") == stamp
    assert [path.name for path in tmp_path.iterdir()] == ["stamp.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"inputs": "a", "extras": null, "platforms": []}'])
def test_a_broken_stamp_counts_as_none(start: ModuleType, tmp_path: Path, text: str) -> None:
    (tmp_path / "stamp.json").write_text(text)
    assert start.read_stamp(tmp_path / "stamp.json") == start.Stamp()


def test_an_environment_with_extras_serves_a_plain_start_but_not_the_other_way_round(start: ModuleType) -> None:
    assert start.Stamp("a", ("test",)).serves("a", None)
    assert start.Stamp("a", ("test",)).serves("a", "test")
    assert not start.Stamp("a").serves("a", "test")
    assert not start.Stamp("a", ("test",)).serves("b", "test")


def test_what_an_installation_depends_on_changes_its_hash(start: ModuleType, elsewhere: Path) -> None:
    seen = {start.inputs_of(elsewhere)}
    (elsewhere / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    seen.add(start.inputs_of(elsewhere))
    (elsewhere / "packaging" / "constraints.txt").write_text("torch==2.13.1\n")
    seen.add(start.inputs_of(elsewhere))
    moved = elsewhere / "moved"
    (moved / "packaging").mkdir(parents=True)
    for name in ("pyproject.toml", "packaging/constraints.txt"):
        (moved / name).write_bytes((elsewhere / name).read_bytes())
    seen.add(start.inputs_of(moved))
    assert len(seen) == 4


def test_a_second_start_runs_no_process_at_all(
    start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped(start)
    monkeypatch.setattr(start.subprocess, "run", forbidden)
    monkeypatch.setattr(start.subprocess, "Popen", forbidden)
    start.set_up()


def test_an_environment_whose_python_is_gone_is_made_anew(
    start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped(start)
    start.environment_python().unlink()
    monkeypatch.setattr(start, "make_environment", forbidden)
    with pytest.raises(Forbidden):
        start.set_up()


# --- what it passes on --------------------------------------------------------------------------------------------


def started(start: ModuleType, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> list[str]:
    """What main hands over to, after the interpreter's own path and flags."""
    handed: list[list[str]] = []
    handover = ("os", "execv") if os.name == "posix" else ("subprocess", "call")
    monkeypatch.setattr(getattr(start, handover[0]), handover[1], lambda *given: handed.append(given[-1]))
    start.main(arguments)
    [command] = handed
    assert command[1:4] == ["-P", "-m", "app"]
    return command[4:]


def test_arguments_go_through_unchanged(start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamped(start)
    given = ["generate", "a model", "--prompt", "two words", "--json"]
    assert started(start, monkeypatch, given) == given


def test_without_a_display_the_chat_opens_in_the_terminal_and_says_so(
    start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stamped(start)
    monkeypatch.setattr(start.sys, "platform", "linux")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    command, model = started(start, monkeypatch, [])
    assert command == "chat"
    assert Path(model, "model.safetensors").is_file()
    said = capsys.readouterr()
    assert "no display" in said.err
    assert said.out == ""


def test_with_a_display_and_its_libraries_the_window_opens(
    start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped(start, platforms=("xcb",))
    monkeypatch.setattr(start.sys, "platform", "linux")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert started(start, monkeypatch, []) == []


def test_the_checks_all_run_and_pytest_gets_the_extra_arguments(
    start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped(start, "test", platforms=("offscreen",))
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    ran: list[Sequence[str]] = []
    statuses = iter([0, 3, 1])

    def call(command: list[str], cwd: Path) -> int:
        assert cwd == elsewhere
        ran.append(command[2:])
        return next(statuses)

    monkeypatch.setattr(start.subprocess, "call", call)
    assert start.main(["test", "-x", "tests/engine"]) == 3
    assert ran == [["ruff", "check", "."], ["mypy"], ["pytest", "-x", "tests/engine"]]


@pytest.mark.parametrize(("codes", "first"), [([0, 0, 0], 0), ([0, 2, 1], 2), ([0, 0, 5], 5), ([], 0)])
def test_the_first_failing_status_wins(start: ModuleType, codes: list[int], first: int) -> None:
    assert start.first_failure(codes) == first


# --- Qt's libraries -----------------------------------------------------------------------------------------------

LDD = """\
\tlinux-vdso.so.1 (0x00007ffd)
\tlibQt6XcbQpa.so.6 => /somewhere/libQt6XcbQpa.so.6 (0x00007f1)
\tlibxcb-cursor.so.0 => not found
\tlibEGL.so.1 => not found
\tlibxcb-cursor.so.0 => not found
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2)
"""


def test_missing_libraries_are_read_from_ldd_once_each(start: ModuleType) -> None:
    assert start.not_found(LDD) == ["libEGL.so.1", "libxcb-cursor.so.0"]


@pytest.mark.parametrize(
    ("family", "root", "line"),
    [
        ("debian", False, "with: sudo apt-get install -y libegl1 libxcb-cursor0"),
        ("ubuntu debian", True, "with: apt-get install -y libegl1 libxcb-cursor0"),
        ("fedora", False, "with: sudo dnf install -y 'libEGL.so.1()(64bit)' 'libxcb-cursor.so.0()(64bit)'"),
        ("opensuse-tumbleweed opensuse suse", True, "with: zypper install -y 'libEGL.so.1()(64bit)'"),
        ("arch", False, "libEGL.so.1, libxcb-cursor.so.0"),
    ],
)
def test_the_sentence_holds_the_install_line_of_the_distribution(
    start: ModuleType, family: str, root: bool, line: str
) -> None:
    sentence = start.libraries_sentence(["libEGL.so.1", "libxcb-cursor.so.0"], family, root)
    assert line in sentence
    assert "\n" not in sentence


def test_a_long_list_of_libraries_is_cut_in_the_sentence_and_whole_in_the_install_line(start: ModuleType) -> None:
    libraries = sorted(start.DEBIAN_PACKAGES)
    sentence, line = start.libraries_sentence(libraries, "debian", True).split("install them with: ")
    assert f"and {len(libraries) - 4} more" in sentence
    assert set(line.split()[3:]) == set(start.DEBIAN_PACKAGES.values())


def test_missing_libraries_stop_the_window_and_complete_ones_are_remembered(
    start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = {"xcb": ["libEGL.so.1"], "wayland": []}
    monkeypatch.setattr(start, "missing_libraries", lambda platform: lacks[platform])
    stamped(start)
    with pytest.raises(start.Stop, match=r"libEGL\.so\.1"):
        start.check_libraries(["xcb"])
    start.check_libraries(["wayland", "xcb"])
    assert start.read_stamp(start.STAMP).platforms == ("wayland",)


@pytest.mark.parametrize(
    ("variables", "platforms"),
    [
        ({}, []),
        ({"DISPLAY": ":0"}, ["xcb"]),
        ({"DISPLAY": ""}, []),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, ["wayland", "xcb"]),
        ({"QT_QPA_PLATFORM": "offscreen", "DISPLAY": ":0"}, ["offscreen"]),
        ({"QT_QPA_PLATFORM": "wayland;xcb:option"}, ["wayland", "xcb"]),
    ],
)
def test_the_environment_decides_which_qt_platform_is_meant(
    start: ModuleType, variables: dict[str, str], platforms: list[str]
) -> None:
    assert start.qt_platforms(variables) == platforms


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Debian's names")
def test_every_library_that_qt_takes_from_the_system_has_its_debian_package(start: ModuleType) -> None:
    import PySide6

    libraries = Path(PySide6.__file__).parent / "Qt"
    files = [libraries / "plugins" / "platforms" / f"libq{name}.so" for name in ("xcb", "wayland", "offscreen")]
    files += [libraries / "lib" / f"libQt6{name}.so.6" for name in ("Core", "Gui", "DBus", "Widgets", "XcbQpa")]
    named = set(re.findall(rb"\0(lib[\w+.-]+\.so\.\d+)(?=\0)", b"\0".join(file.read_bytes() for file in files)))
    system = {name.decode() for name in named} - {"libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6"}
    ours = {name for name in system if not (libraries / "lib" / name).exists()}
    assert "libxcb-cursor.so.0" in ours
    assert ours <= set(start.DEBIAN_PACKAGES)


# --- what pip says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl (16.5 MB)\n", "  numpy 2.4.6, 16.5 MB"),
        ("  Using cached idna-3.20-py3-none-any.whl (70 kB)\n", "  idna 3.20, 70 kB"),
        ("Processing ./wheels/torch-2.13.0%2Bcpu-cp311-cp311-linux.whl (from vitrine)\n", "  torch 2.13.0+cpu"),
        ("  Downloading idna-3.20-py3-none-any.whl.metadata (8 kB)\n", None),
        ("Installing collected packages: mpmath, sympy, torch\n", "  writing 3 packages"),
        ("Requirement already satisfied: torch in ./lib\n", None),
    ],
)
def test_progress_names_what_is_fetched_and_how_big_it_is(start: ModuleType, line: str, shown: str | None) -> None:
    assert start.progress_line(line) == shown


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("WARNING: Retrying (Retry(total=4)) after NewConnectionError\nERROR: No matching\n", "connection"),
        ("ERROR: No matching distribution found for torch==2.13.0\n", "no torch==2.13.0 for Python"),
        ("ERROR: Could not install packages: [Errno 28] No space left on device\n", "disk is full"),
        ("WARNING: a\nERROR: first\nERROR: second reason\n", "second reason"),
        ("", "no reason"),
    ],
)
def test_a_failed_download_is_one_sentence(start: ModuleType, output: str, words: str) -> None:
    sentence = start.failure_sentence(output)
    assert words in sentence
    assert "\n" not in sentence


def test_a_failing_pip_ends_with_a_sentence_and_status_1(
    start: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "LOG", start.ENVIRONMENT / "install.log")
    monkeypatch.setattr(start, "environment_python", lambda: Path(sys.executable))
    monkeypatch.setattr(start, "modernise_pip", lambda: None)
    monkeypatch.setattr(start, "installed_torch", lambda: "2.13.0+cpu")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(elsewhere))
    assert start.main([]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "install.log" in said.err.splitlines()[-1]
    assert not start.STAMP.exists()
    assert (start.ENVIRONMENT / "install.log").stat().st_size > 0


@pytest.mark.skipif(os.name != "posix", reason="a POSIX file mode")
def test_the_script_for_continuous_integration_can_be_run_and_is_valid_bash() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0
