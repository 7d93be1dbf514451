"""The commands as Python functions: the same options, the same steps, a result in place of printed paths."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_data import noise_folders

import usgan_cli as usgan
from usgan_cli import api
from usgan_cli.cli import COMMANDS
from usgan_cli.core.errors import MissingError, SettingsError
from usgan_cli.core.options import options_of

NAMES = {"train_classifier": "train-cls", "compare": "ttest"}


@pytest.mark.parametrize("name", usgan.__all__)
def test_a_function_has_the_options_of_its_command(name: str) -> None:
    function = getattr(usgan, name)
    options = next(cls for cls in COMMANDS if NAMES.get(name, name.replace("_", "-")) == cls.COMMAND)
    parameters = inspect.signature(function).parameters
    assert set(parameters) == {one.name for one in options_of(options)}
    for one in options_of(options):
        default = parameters[one.name].default
        assert default == (inspect.Parameter.empty if one.required else one.default)
        assert f"\n{one.name} : " in function.__doc__
        assert one.traits.help in function.__doc__


def test_the_package_is_light_and_its_names_are_known() -> None:
    code = "import sys, usgan_cli; print([m for m in sys.modules if m.startswith('usgan_cli')], 'typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['usgan_cli'] False\n"
    with pytest.raises(AttributeError, match="no attribute 'trian_gan'"):
        _ = usgan.trian_gan
    assert set(usgan.__all__) <= set(dir(usgan))
    assert (Path(usgan.__file__).parent / "py.typed").is_file()


def test_steps_give_their_result_and_find_what_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, source = tmp_path / "work", noise_folders(tmp_path / "source", dict.fromkeys(["a", "b"], 8))
    data = usgan.prepare(source=source, size=16, test=4, work=work, quiet=True)
    assert (data.path, data.status, data.result["test"]) == (work / "data", "done", {"a": 2, "b": 2})
    (subset,) = usgan.subsample(n=(6,), work=work, quiet=True)
    assert subset.result["counts"] == {"a": 3, "b": 3}
    settings = {"preset": "tiny", "kimg": 0.008, "batch": 4, "device": "cpu"}
    gan = api.train_gan(aug="none", n=6, work=work, quiet=True, **settings)  # type: ignore[arg-type]
    assert (gan.status, gan.result["kimg"]) == ("done", 0.008)
    images = usgan.generate(gan=gan.path, count=8, work=work, quiet=True, device="cpu")
    assert images.result["counts"] == {"a": 4, "b": 4}
    again = usgan.generate(gan=gan.path, count=8, work=work, quiet=True, device="cpu")
    assert (again.status, again.result) == ("skipped", images.result)
    planned = usgan.report(work=work, dry_run=True)
    assert planned.status == "planned"
    assert usgan.report(work=work, dry_run=True).status == "planned", "the function is not hidden by a module"
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err


def test_problems_are_errors_with_the_next_move(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--aug is 'adda'.*did you mean ada"):
        usgan.train_gan(aug="adda", n=5, work=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(MissingError, match="usgan prepare"):
        usgan.train_gan(aug="ada", n=5, work=tmp_path)
    with pytest.raises(TypeError, match="kimgs"):
        usgan.train_gan(aug="ada", n=5, kimgs=3)  # type: ignore[call-arg]
    with pytest.raises(SettingsError, match="Which classifiers"):
        usgan.compare(work=tmp_path)


def test_text_numbers_and_lists_become_what_the_options_mean(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no baseline for n=5"):
        usgan.compare(n=5, seeds=[0, 1], work=str(tmp_path))  # type: ignore[arg-type]


def test_a_function_works_in_the_workspace_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = noise_folders(tmp_path / "source", dict.fromkeys("ab", 6), size=16)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USGAN_WORK", str(tmp_path / "elsewhere"))
    assert usgan.prepare(source=source, size=16, test=4, quiet=True).path == tmp_path / "elsewhere" / "data"
    assert usgan.prepare(source=source, size=16, test=4, quiet=True, work="mine").path == Path("mine/data")


def test_paths_and_numbers_of_numpy_are_taken(tmp_path: Path) -> None:
    source = noise_folders(tmp_path / "source", dict.fromkeys("ab", 6), size=16)
    groups = tmp_path / "groups.csv"
    rows = [f"{name}/{i}.png,{name}{i}" for name in "ab" for i in range(6)]
    groups.write_text("\n".join(["path,group", *rows]))
    work = {"work": tmp_path / "w", "quiet": True}
    made = usgan.prepare(
        source=source, size=np.int64(16), channels=np.int32(1), test=np.int64(4), groups=groups, **work
    )
    assert made.status == "done"
    assert usgan.prepare(source=source, size=16, test=4, groups=str(groups), **work).status == "skipped"
    usgan.subsample(n=[np.int64(6)], seed=np.uint8(1), **work)
    assert (tmp_path / "w" / "subsets" / "n6-s1.json").is_file()
