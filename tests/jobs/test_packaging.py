import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from penstock.errors import NotFoundError, TrainingError, UsageError
from penstock.jobs.packaging import build_package, package_folder, stage_packages


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "project" / "trainer"
    (package / "parts" / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "task.py").write_text("print('here')")
    (package / "parts" / "words.txt").write_text("a\nb\n")
    (package / "parts" / "__pycache__" / "old.pyc").write_bytes(b"x")
    (package / ".env").write_text("PASSWORD=1")
    return package.parent


def names(archive: Path) -> list[str]:
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).namelist()
    with tarfile.open(archive) as content:
        return content.getnames()


def test_a_folder_becomes_a_wheel_with_its_data_and_without_what_is_hidden(project: Path, tmp_path: Path) -> None:
    (built,) = build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    assert built.name == "trainer-0.0.0-py3-none-any.whl"
    assert [name for name in names(built) if "dist-info" not in name] == [
        "trainer/__init__.py",
        "trainer/task.py",
        "trainer/parts/words.txt",
    ]


def test_pip_takes_the_wheel(project: Path, tmp_path: Path) -> None:
    (built,) = build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--target", str(site), str(built)]
    subprocess.run(command, check=True)
    assert (site / "trainer" / "task.py").read_text() == "print('here')"


def test_the_same_folder_makes_the_same_bytes(project: Path, tmp_path: Path) -> None:
    targets = [tmp_path / "one", tmp_path / "two"]
    for target in targets:
        target.mkdir()
        build_package(project / "trainer", target=target, home=tmp_path / "home")
        (project / "trainer" / "task.py").touch()
    one, two = ((target / "trainer-0.0.0-py3-none-any.whl").read_bytes() for target in targets)
    assert one == two


def test_requirements_come_along(project: Path, tmp_path: Path) -> None:
    (project / "requirements.txt").write_text("pandas\n")
    built = build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    assert [file.name for file in built] == ["trainer-0.0.0-py3-none-any.whl", "requirements.txt"]


@pytest.mark.slow  # it makes an environment with setuptools
def test_a_setup_py_says_what_belongs_to_the_package_and_nothing_is_written_beside_it(
    project: Path, tmp_path: Path
) -> None:
    (project / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='housing-trainer', version='1.2', packages=['trainer'], install_requires=['six'])\n"
    )
    before = sorted(path.relative_to(project) for path in project.rglob("*"))
    (built,) = build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    assert built.name == "housing_trainer-1.2.tar.gz"
    assert "housing_trainer-1.2/trainer/task.py" in names(built)
    assert sorted(path.relative_to(project) for path in project.rglob("*")) == before

    (project / "setup.py").write_text("from setuptools import setup\nsetup(name='x', version='1', packages=[])\n")
    with pytest.raises(TrainingError, match="leaves package 'trainer' out"):
        build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    (project / "setup.py").write_text("raise SystemExit(5)\n")
    with pytest.raises(TrainingError, match=r"the build ended with status 5$"):
        build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    (project / "setup.py").write_text("raise SystemExit('this setup.py is broken')\n")
    with pytest.raises(TrainingError, match=r"this setup\.py is broken"):
        build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")


def test_a_pyproject_that_only_holds_settings_of_tools_builds_nothing(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    (built,) = build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    assert built.suffix == ".whl"
    (project / "pyproject.toml").write_text("[tool")
    with pytest.raises(UsageError, match="is not TOML"):
        build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    (project / "pyproject.toml").write_text("[build-system]\nrequires = 'setuptools'\n")
    with pytest.raises(UsageError, match=r"build-system\.requires is 'setuptools'; expected a list"):
        build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")


def test_a_package_that_cannot_be_is_named(project: Path) -> None:
    with pytest.raises(NotFoundError, match="no package folder"):
        package_folder("other.task", None)
    with pytest.raises(UsageError, match="--package-path ends in 'trainer'"):
        package_folder("other.task", str(project / "trainer"))
    with pytest.raises(
        NotFoundError, match=r"no module 'trainer\.tusk'; it has trainer\.task; did you mean 'trainer\.task'"
    ):
        package_folder("trainer.tusk", str(project / "trainer"))
    for unfit in ("trainer", "trainer.parts"):
        with pytest.raises(NotFoundError, match=f"{unfit}' is a package without a __main__"):
            package_folder(unfit, str(project / "trainer"))
    (project / "setup.py").write_text("# a build may make the module\n")
    assert package_folder("trainer.tusk", str(project / "trainer")) == project / "trainer"
    (project / "trainer" / "__init__.py").unlink()
    with pytest.raises(NotFoundError, match="no __init__"):
        package_folder("trainer.task", str(project / "trainer"))


def test_archives_are_staged_under_their_digest_once(project: Path, tmp_path: Path) -> None:
    built = build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    first = stage_packages(built, str(tmp_path / "job" / "packages"))
    assert first == stage_packages(built, str(tmp_path / "job" / "packages"))
    (uri,) = first
    folder = Path(uri).parent
    assert len(folder.name) == 64
    assert folder.parent == tmp_path / "job" / "packages"
    assert Path(uri).read_bytes() == built[0].read_bytes()


def test_archives_are_staged_on_object_stores(project: Path, tmp_path: Path) -> None:
    import fsspec

    built = build_package(project / "trainer", target=tmp_path, home=tmp_path / "home")
    (uri,) = stage_packages(built, "memory://bucket/job/packages")
    with fsspec.open(uri, "rb") as file:
        assert file.read() == built[0].read_bytes()
