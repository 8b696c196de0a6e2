"""Attributions add up, are exact where they can be, and go to the columns that matter."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.bundles import linear_bundle, mixed_bundle

from penstock.errors import PreconditionError
from penstock.runtime.explanation import load_explainer
from penstock.runtime.model import load_model


def samples(rows: list[dict[str, Any]]) -> dict[str, bytes]:
    return {"samples.jsonl": b"\n".join(msgspec.json.encode(row) for row in rows)}


BACKGROUND = [{"A": float(a), "B": float(b), "C": float(c)} for a, b, c in [(0, 1, 2), (2, 0, 0), (4, 2, 1), (6, 1, 1)]]


def never() -> None:
    pass


def test_a_linear_models_values_are_weight_times_distance_from_the_mean(tmp_path: Path) -> None:
    uri = linear_bundle(tmp_path / "bundle", files=samples(BACKGROUND))
    explainer = load_explainer(uri)
    batch = load_model(uri).decode([{"A": 10, "B": 1, "C": -1}, {"A": 0, "B": 0, "C": 0}])
    first, second = explainer.explain(batch, paths=8, check=never)
    assert first.attributions == pytest.approx({"A": 7.0, "B": 0.0, "C": -200.0}, abs=1e-3)
    assert second.attributions == pytest.approx({"A": -3.0, "B": -10.0, "C": -100.0}, abs=1e-3)
    assert first.baseline_score == pytest.approx(113.0)
    assert first.example_score == pytest.approx(-80.0)
    assert first.output_name == "predictions"
    again = explainer.explain(batch, paths=8, check=never)
    assert again[0] == first


def test_values_add_up_whatever_the_number_of_paths(tmp_path: Path) -> None:
    uri = linear_bundle(tmp_path / "bundle", files=samples(BACKGROUND))
    (one,) = load_explainer(uri).explain(load_model(uri).decode([{"A": 1, "B": 2, "C": 3}]), paths=1, check=never)
    assert sum(one.attributions.values()) == pytest.approx(one.example_score - one.baseline_score, abs=1e-3)
    assert one.approx_error > 0


def test_columns_of_every_type_can_be_explained(tmp_path: Path) -> None:
    row = {"age": None, "town": "Ulm", "rooms": 3, "sold": "31/01/2024", "owner": True, "zone": "a"}
    other = {"age": 4.5, "town": None, "rooms": 9, "sold": None, "owner": False, "zone": "b"}
    uri = mixed_bundle(tmp_path / "bundle")
    with pytest.raises(PreconditionError, match=r"samples\.jsonl"):
        load_explainer(uri)
    uri = mixed_bundle_with(tmp_path / "with", samples([other, row]))
    (one,) = load_explainer(uri).explain(load_model(uri).decode([{**other, "age": 5.5}]), paths=20, check=never)
    assert set(one.attributions) == set(row)


def mixed_bundle_with(folder: Path, files: dict[str, bytes]) -> str:
    """The bundle of all types with these files beside its graph."""
    import shutil

    from penstock.bundle.folder import BundleWriter, read_manifest

    source = Path(mixed_bundle(folder.with_name("source")))
    manifest = read_manifest(str(source))
    with BundleWriter(str(folder)) as writer:
        shutil.copy(source / "model.onnx", writer.folder / "model.onnx")
        for name, content in files.items():
            writer.write(name, content)
        writer.publish(msgspec.structs.replace(manifest, files={}))
    return str(folder)
