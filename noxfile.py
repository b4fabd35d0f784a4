"""The entry point for all checks: `nox -s lint types tests`, and the sessions below. `nox -l` lists them."""

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def install(session: nox.Session, *extras: str) -> None:
    """Install the project, editable, at the tested versions."""
    session.install("-c", "constraints.txt", "-e", f".[{','.join(('dev', *extras))}]")


@nox.session
def lint(session: nox.Session) -> None:
    """Style (ruff, with the ban on torch at module level of the command line) and the direction of imports."""
    install(session)
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Types, with mypy."""
    install(session)
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole test suite, on the CPU."""
    install(session)
    session.run("pytest", "-n", "auto", "-m", "not gpu", *session.posargs)


@nox.session
def tests_gpu(session: nox.Session) -> None:
    """The tests that need a CUDA device; without one they fail instead of being skipped."""
    install(session)
    session.run("pytest", "-m", "gpu", *session.posargs, env={"HIFIHR_REQUIRE_GPU": "1"})


@nox.session
def minimums(session: nox.Session) -> None:
    """The test suite at the lowest versions that pyproject.toml allows; needs uv."""
    session.install("uv")
    session.run("uv", "pip", "install", "--resolution", "lowest-direct", "-e", ".[dev]")
    session.run("pytest", "-n", "auto", "-m", "not gpu", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """One benchmark and its options: `nox -s bench -- help_time --rounds 5`; docs/benchmarks.md lists them."""
    if not session.posargs:
        session.error("name a benchmark, such as `nox -s bench -- help_time`; docs/benchmarks.md lists them")
    install(session)
    name, *options = session.posargs
    session.run("python", f"benchmarks/{name}.py", *options)


@nox.session
def demo(session: nox.Session) -> None:
    """The whole pipeline on a small scale: prepare, pretrain, train at all levels, eval, predict; output in `demo/`."""
    install(session)
    session.run("python", "tools/demo.py", *(session.posargs or ["demo"]))


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site, in `site/`; a broken link or a page outside the index fails."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and source archive in `dist/`, made from a clean tree and checked."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", *archives())


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """The output of `nox -s build` in `dist/`: wheel, then source archive, installed and tried on the example photo."""
    photo = Path("examples/hand.jpg").resolve()
    constraints = Path("constraints.txt").resolve()
    built = [str(Path(name).resolve()) for name in archives()]
    if len(built) != 2:
        session.error("dist/ holds no wheel and source archive; run `nox -s build` first")
    session.chdir(session.create_tmp())
    for archive in sorted(built, key=lambda name: not name.endswith(".whl")):
        again = [] if archive.endswith(".whl") else ["--force-reinstall", "--no-deps"]
        session.install("-c", str(constraints), *again, archive)
        session.run("hifihr", "--version")
        session.run("hifihr", "doctor")
        session.run("hifihr", "predict", str(photo), "--overwrite", "--json", "--out", "predictions", silent=True)
    session.run("python", "-c", f"import hifihr_core as h; print(h.predict({str(photo)!r}))")


def archives() -> list[str]:
    """Return the archives in `dist/`."""
    return sorted(str(path) for path in Path("dist").glob("hifihr-*"))


@nox.session(python="3.11")
def blender(session: nox.Session) -> None:
    """Our GLB files in Blender: bones along the fingers, a curled finger, a round trip; pictures in `blender/`."""
    session.install("-e", ".", "bpy")  # bpy pins numpy, so the tested versions do not apply
    folder = session.posargs[0] if session.posargs else "blender"
    for step in ("make", "check"):
        session.run("python", "tools/blender_check.py", step, folder)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Damaged files for every reader, three minutes; `nox -s fuzz -- --minutes 60 --count 5000` for more."""
    install(session)
    session.run("python", "tools/fuzz.py", *session.posargs)


@nox.session
def kill(session: nox.Session) -> None:
    """Runs of predict, train and prepare, stopped at random moments and started again; they end with the same bytes."""
    install(session)
    for name in session.posargs or ["predict_kill", "train_kill", "prepare_kill"]:
        session.run("python", f"benchmarks/{name}.py")
