#!/usr/bin/env python3
"""Sets Vitrine up and starts it: `python3 packaging/start.py`, and `... test` for its checks.

It knows Python, pip and Qt's system libraries, nothing of Vitrine but its name, and uses the standard library only,
since it runs before anything is installed. What it did is kept in a stamp in .venv, so that the next start costs
nothing. It speaks on stderr: stdout belongs to what it starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
STAMP = ENVIRONMENT / "vitrine-stamp.json"
LOG = ENVIRONMENT / "vitrine-install.log"
BUNDLED = ROOT / "assets" / "models" / "companion"
NEEDED = (3, 11)
TORCH_INDEX = "https://download.pytorch.org/whl/"
WINDOWS_CUDA = "cu130"
NETWORK = re.compile(r"NewConnectionError|NameResolution|ConnectTimeout|Read timed out|ProxyError|SSLError|Retrying \(")


class Stop(Exception):
    """Setting up cannot go on; the text says why and what to do."""


def main(arguments: list[str]) -> int:
    """Set up what is missing, then run the checks, the window, or what the arguments say."""
    try:
        complaint = python_complaint(sys.version_info[:3])
        if complaint:
            raise Stop(complaint)
        if arguments[:1] == ["test"]:
            set_up("test")
            return run_checks(arguments[1:])
        set_up()
        if not arguments:
            arguments = window_or_terminal()
    except Stop as stop:
        say(str(stop))
        return 1
    except KeyboardInterrupt:
        say("Stopped. The same command goes on from here.")
        return 130
    # -P: a folder named app where the person stands must not be taken for ours.
    command = [str(environment_python()), "-P", "-m", "app", *arguments]
    if os.name != "posix":
        return subprocess.call(command)
    os.execv(command[0], command)


def say(text: str) -> None:
    """One line for the person."""
    print(text, file=sys.stderr, flush=True)


def python_complaint(version: tuple[int, ...]) -> str | None:
    """Why this Python cannot run Vitrine; None where it can."""
    if version >= NEEDED:
        return None
    have, need = ".".join(map(str, version)), ".".join(map(str, NEEDED))
    return f"Vitrine needs Python {need} or newer and this is {have}; run this script with a newer one."


# --- what was done before -----------------------------------------------------------------------------------------


class Stamp(NamedTuple):
    """What an environment holds: the inputs it was made from, its extras, the Qt platforms found complete."""

    inputs: str = ""
    extras: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()

    def serves(self, inputs: str, extra: str | None) -> bool:
        """Whether nothing needs to be installed."""
        return self.inputs == inputs and (extra is None or extra in self.extras)


def read_stamp(path: Path) -> Stamp:
    """The stamp in path; an empty one where it is missing or unreadable."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        return Stamp(str(kept["inputs"]), tuple(kept["extras"]), tuple(kept["platforms"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Stamp()


def write_stamp(path: Path, stamp: Stamp) -> None:
    """Keep the stamp, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(stamp._asdict()), "utf-8")
    draft.replace(path)


def inputs_of(root: Path) -> str:
    """A hash of what an installation depends on. The folder's place is part of it: the installation is editable."""
    files = (root / "pyproject.toml", root / "packaging" / "constraints.txt")
    return hashlib.sha256(b"\0".join([str(root).encode(), *(file.read_bytes() for file in files)])).hexdigest()


# --- the environment ----------------------------------------------------------------------------------------------


def environment_python(environment: Path = ENVIRONMENT) -> Path:
    """The interpreter inside a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def set_up(extra: str | None = None) -> None:
    """Make .venv hold everything needed; instant where it does already."""
    stamp, inputs = read_stamp(STAMP), inputs_of(ROOT)
    python = environment_python()
    if stamp.serves(inputs, extra) and python.exists():
        return
    started = time.monotonic()
    say("Setting up Vitrine in .venv. The first time this downloads some hundred megabytes.")
    if not python.exists() or not pip_version():
        make_environment()
    LOG.write_text("", "utf-8")
    modernise_pip()
    install_torch()
    extras = sorted({*stamp.extras, *([extra] if extra else [])})
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    say("Downloading and installing the rest.")
    pip("install", "--progress-bar=off", "--constraint", str(CONSTRAINTS), "--editable", target)
    write_stamp(STAMP, Stamp(inputs, tuple(extras), stamp.platforms))
    say(f"Set up in {time.monotonic() - started:.0f} seconds.")


def make_environment() -> None:
    """Make .venv, over the remains of a broken one."""
    say("Making the virtual environment.")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        if "ensurepip" in made.stdout + made.stderr:
            name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            raise Stop(f"This Python cannot make virtual environments; install that part: sudo apt-get install {name}")
        said = (made.stderr or made.stdout).strip().splitlines()
        raise Stop(f"The virtual environment could not be made: {said[-1] if said else 'no reason given'}")


def pip_version() -> tuple[int, ...]:
    """The version of pip in .venv; empty where it has none."""
    asked = subprocess.run(
        [str(environment_python()), "-m", "pip", "--version"], capture_output=True, text=True, check=False
    )
    found = re.match(r"pip (\d+)\.(\d+)", asked.stdout)
    return (int(found[1]), int(found[2])) if found else ()


def modernise_pip() -> None:
    """Upgrade pip where it is older than 25.3: a dry run of those downloads the whole wheel to read its name.

    Raises Stop only where it is older than 23, which cannot report at all; an index need not hold a newer one.
    """
    if pip_version() >= (25, 3):
        return
    say("Bringing pip up to date.")
    try:
        pip("install", "--quiet", "--upgrade", "pip>=25.3")
    except Stop:
        if pip_version() < (23,):
            raise


def pip(*arguments: str) -> None:
    """Run pip in .venv, showing what it fetches; everything it says goes to the log. Raises Stop where it fails."""
    command = [str(environment_python()), "-m", "pip", "--disable-pip-version-check", *arguments]
    output: list[str] = []
    # The brackets that the formatter would add are a syntax error to the older Pythons that are to be told so.
    # fmt: off
    with LOG.open("a", encoding="utf-8") as log, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            log.write(line)
            output.append(line)
            progress = progress_line(line)
            if progress:
                say(progress)
    # fmt: on
    if process.returncode:
        raise Stop(f"{failure_sentence(''.join(output))} The whole report is in {LOG.relative_to(ROOT)}.")


def progress_line(line: str) -> str | None:
    """What a line of pip's output means to the person; None for most lines."""
    fetched = re.match(r"\s*(?:Downloading|Using cached|Processing) (\S+\.(?:whl|tar\.gz))(?: \((.+)\))?\s*$", line)
    if fetched:
        file = re.split(r"[/\\]", fetched[1])[-1].replace("%2B", "+")
        size = f", {fetched[2]}" if fetched[2] and fetched[2][0].isdigit() else ""
        return f"  {' '.join(file.split('-')[:2])}{size}"
    if line.startswith("Installing collected packages:"):
        count = line.count(",") + 1
        return f"  writing {count} package{'s' if count > 1 else ''}"
    return None


def failure_sentence(output: str) -> str:
    """Why pip failed, in one sentence, from everything it said."""
    if NETWORK.search(output):
        return "The download failed: check the connection and run the same command again."
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing:
        python = ".".join(map(str, sys.version_info[:2]))
        return f"pip finds no {missing[1]} for Python {python} here: check the connection, or try another Python."
    if "No space left on device" in output:
        return "The disk is full: make room and run the same command again."
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE)
    return f"Installing failed: {errors[-1] if errors else 'pip gave no reason'}"


# --- which torch --------------------------------------------------------------------------------------------------


class TorchPlan(NamedTuple):
    """Where torch comes from. part: of PyTorch's own index, None for pip's usual one. reason: a sentence."""

    part: str | None
    reason: str


def torch_plan(report: dict[str, Any], system: str, nvidia: bool) -> TorchPlan:
    """Choose torch's build. report is pip's, of a dry run; system is sys.platform.

    On Linux the usual index holds the CUDA build, gigabytes with its libraries; on Windows and macOS the CPU's.
    """
    version = next((item["metadata"]["version"] for item in report["install"]), "")
    if system == "win32" and nvidia and "+cu" not in version:
        return TorchPlan(WINDOWS_CUDA, "There is an NVIDIA GPU: taking PyTorch's CUDA build from PyTorch's own index.")
    if "+cpu" in version:
        return TorchPlan(None, f"PyTorch {version}, the CPU build.")
    if system.startswith("linux") and not nvidia:
        return TorchPlan("cpu", "There is no NVIDIA GPU: taking PyTorch's CPU build from PyTorch's own index.")
    return TorchPlan(None, f"PyTorch {version}.")


def install_torch() -> None:
    """Put the pinned torch into .venv, the build that fits this machine, unless it is there."""
    pinned = re.search(r"^torch==(\S+)$", CONSTRAINTS.read_text("utf-8"), re.MULTILINE)
    assert pinned, "constraints.txt pins torch"
    if installed_torch().split("+")[0] == pinned[1]:
        return
    requirement = f"torch=={pinned[1]}"
    say("Asking pip which build of PyTorch fits this machine.")
    asked = subprocess.run(
        [str(environment_python()), "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet",
         "--report", "-", requirement],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if asked.returncode:
        raise Stop(failure_sentence(asked.stdout + asked.stderr))
    plan = torch_plan(json.loads(asked.stdout), sys.platform, has_nvidia())
    say(plan.reason)
    index = ["--index-url", TORCH_INDEX + plan.part] if plan.part else []
    pip("install", "--progress-bar=off", "--no-deps", *index, requirement)


def installed_torch() -> str:
    """The version of torch in .venv, or nothing."""
    ask = "import importlib.metadata as m; print(m.version('torch'))"
    return subprocess.run(
        [str(environment_python()), "-c", ask], capture_output=True, text=True, check=False
    ).stdout.strip()


def has_nvidia() -> bool:
    """Whether an NVIDIA GPU can be used here."""
    if Path("/dev/nvidia0").exists():
        return True
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    return subprocess.run([tool, "-L"], capture_output=True, check=False).returncode == 0


# --- Qt and the display -------------------------------------------------------------------------------------------

# Debian's package for each library that Qt takes from the system; Fedora and openSUSE find theirs by the file's name.
DEBIAN_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libz.so.1": "zlib1g",
    "libzstd.so.1": "libzstd1",
}


def qt_platforms(variables: dict[str, str] | os._Environ[str]) -> list[str]:
    """Qt's platform plugins that could show a window under these environment variables, on Linux; none: no display."""
    chosen = variables.get("QT_QPA_PLATFORM", "")
    if chosen:
        return [name.split(":")[0] for name in chosen.split(";")]
    found = [("wayland", "WAYLAND_DISPLAY"), ("xcb", "DISPLAY")]
    return [name for name, variable in found if variables.get(variable)]


def window_or_terminal() -> list[str]:
    """The arguments that open the window, or the same chat in the terminal where there is no display."""
    if sys.platform.startswith("linux"):
        platforms = qt_platforms(os.environ)
        if not platforms:
            say("There is no display here, so the chat opens in the terminal.")
            return ["chat", str(BUNDLED)]
        check_libraries(platforms)
    return []


def check_libraries(platforms: list[str]) -> None:
    """Raise Stop, naming what to install, where none of these Qt platforms finds its system libraries."""
    stamp = read_stamp(STAMP)
    missing: list[str] = []
    for platform in platforms:
        if platform in stamp.platforms:
            return
        missing = missing_libraries(platform)
        if not missing:
            write_stamp(STAMP, stamp._replace(platforms=(*stamp.platforms, platform)))
            return
    raise Stop(libraries_sentence(missing, os_release(), os.geteuid() == 0))


def missing_libraries(platform: str) -> list[str]:
    """The system libraries that a Qt platform plugin asks for and this machine lacks."""
    ldd = shutil.which("ldd")
    plugins = sorted(ENVIRONMENT.glob(f"lib/python*/site-packages/PySide6/Qt/plugins/platforms/libq{platform}.so"))
    if ldd is None or not plugins:
        return []
    asked = subprocess.run([ldd, str(plugins[0])], capture_output=True, text=True, check=False)
    return not_found(asked.stdout)


def not_found(ldd_output: str) -> list[str]:
    """The libraries that ldd did not find."""
    return sorted(set(re.findall(r"^\s*(\S+) => not found", ldd_output, re.MULTILINE)))


def os_release(path: Path = Path("/etc/os-release")) -> str:
    """Which family of Linux this is, as ID and ID_LIKE say: words such as "ubuntu debian"."""
    try:
        text = path.read_text("utf-8")
    except OSError:
        return ""
    return " ".join(re.findall(r"^ID(?:_LIKE)?=[\"']?([^\"'\n]*)", text, re.MULTILINE))


def libraries_sentence(missing: list[str], family: str, root: bool) -> str:
    """What Qt lacks and the line that installs it, for this family of Linux."""
    words, sudo = set(family.split()), "" if root else "sudo "
    names = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    by_file = " ".join(f"'{name}()(64bit)'" for name in missing)
    if words & {"debian", "ubuntu"}:
        packages = " ".join(sorted({DEBIAN_PACKAGES.get(name, name) for name in missing}))
        line = f"{sudo}apt-get install -y {packages}"
    elif words & {"fedora", "rhel", "centos"}:
        line = f"{sudo}dnf install -y {by_file}"
    elif words & {"suse", "opensuse"}:
        line = f"{sudo}zypper install -y {by_file}"
    else:
        return f"Qt needs system libraries that are missing here; install what holds these files: {', '.join(missing)}"
    return f"Qt needs system libraries that are missing here ({names}); install them with: {line}"


# --- the checks ---------------------------------------------------------------------------------------------------


def run_checks(pytest_arguments: list[str]) -> int:
    """Run ruff, mypy and the tests, all three; the status of the first that fails."""
    if sys.platform.startswith("linux"):
        if not qt_platforms(os.environ):
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
        check_libraries(qt_platforms(os.environ))
    checks = (["ruff", "check", "."], ["mypy"], ["pytest", *pytest_arguments])
    codes = []
    for check in checks:
        say(f"> {' '.join(check)}")
        codes.append(subprocess.call([str(environment_python()), "-m", *check], cwd=ROOT))
    return first_failure(codes)


def first_failure(codes: list[int]) -> int:
    """The first status that is not 0, or 0."""
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
