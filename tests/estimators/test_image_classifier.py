"""`ImageClassifier`: photos in, a served bundle out."""

import base64
import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from tests.estimators.photos import make_backbone, make_photos

from penstock import estimator
from penstock.cli.main import main
from penstock.errors import ConfigError, DataError, NotFoundError, PreconditionError, UsageError
from penstock.estimator.inputs import photo_input_fn, photo_input_fns
from penstock.estimators.backbone import load_backbone
from penstock.estimators.photo_input import PhotoInput, find_photos
from penstock.flows.import_model import import_file
from penstock.runtime.model import load_model


@pytest.mark.parametrize("classes", [2, 3])
def test_photos_are_learned_and_served_as_they_were_evaluated(tmp_path: Path, classes: int) -> None:
    photos = make_photos(tmp_path / "photos", classes=classes)
    train_fn, evaluate_fn = photo_input_fns(str(photos), evaluation=0.25)
    model = estimator.ImageClassifier(make_backbone(tmp_path / "net.onnx"), model_dir=tmp_path / "model")
    model.train(train_fn)
    metrics = model.evaluate(evaluate_fn)
    assert metrics["accuracy"] == 1.0
    assert len(evaluate_fn()) == classes * 3
    bundle = model.export_saved_model(tmp_path / "export")
    served = load_model(bundle)
    assert served.manifest.metrics["accuracy"] == 1.0
    assert served.manifest.classes == ("blue", "green", "red")[:classes]
    assert json.loads((Path(bundle) / "parity.json").read_text())["real_rows"] > 0
    some = [photos / "green/0.png", photos / "blue/3.png"]
    sent = [{"b64": base64.b64encode(path.read_bytes()).decode()} for path in some]
    answers = served.predict(served.decode(sent))
    assert answers["classes"].ravel().tolist() == ["green", "blue"]
    own = list(model.predict(lambda: some))
    assert np.allclose([row["probabilities"] for row in own], answers["probabilities"], atol=1e-5)
    for line in (Path(bundle) / "samples.jsonl").read_text().splitlines():
        served.decode([json.loads(line)])


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    photos, net = make_photos(tmp_path / "photos"), make_backbone(tmp_path / "net.onnx")
    outputs = []
    for name in ("one", "two"):
        model = estimator.ImageClassifier(net, model_dir=tmp_path / name).train(photo_input_fn(str(photos)))
        again = estimator.ImageClassifier(net, model_dir=tmp_path / name)
        outputs.append([row["logits"].tolist() for row in again.predict(photo_input_fn(str(photos)))])
        assert model.latest_checkpoint() is not None
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("layout", "batch", "element", "scaling"),
    [
        ("NCHW", "N", TensorProto.FLOAT, "imagenet"),
        ("NHWC", 1, TensorProto.FLOAT, "signed"),
        ("NHWC", 1, TensorProto.UINT8, "none"),
    ],
)
def test_backbones_of_every_layout_are_cut_before_the_head(
    tmp_path: Path, layout: str, batch: int | str, element: int, scaling: str
) -> None:
    path = make_backbone(tmp_path / "net.onnx", layout=layout, batch=batch, element=element)
    backbone = load_backbone(Path(path))
    assert (backbone.width, backbone.size, backbone.scaling) == (12, (16, 16), scaling)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    assert backbone.embed(pixels).shape == (3, 12)
    assert load_backbone(Path(path), layer="r").width == 8


def test_what_is_no_backbone_is_named(tmp_path: Path, home: Path) -> None:
    for name, error, said in [
        ("mobilnet", NotFoundError, "there is no backbone 'mobilnet'"),
        (str(tmp_path / "net.tflite"), ConfigError, "--pack NAME"),
        (str(tmp_path / "net.onnx"), ConfigError, "is not an ONNX model"),
    ]:
        if "/" in name:
            Path(name).write_bytes(b"x")
        with pytest.raises(error, match=said):
            estimator.ImageClassifier(name).train(photo_input_fn(str(make_photos(tmp_path / "photos", count=2))))
    with pytest.raises(ConfigError, match="no tensor 'nowhere'"):
        load_backbone(Path(make_backbone(tmp_path / "good.onnx")), layer="nowhere")


def test_photos_that_cannot_be_read_are_counted_named_and_refused_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, net = make_photos(tmp_path / "photos"), make_backbone(tmp_path / "net.onnx")
    (photos / "blue/broken.jpg").write_bytes(b"no photo")
    whole = (photos / "green/1.png").read_bytes()
    (photos / "green/cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"2 of 26 photos cannot be read: .*broken\.jpg .*cut\.png"):
        estimator.ImageClassifier(net).train(photo_input_fn(str(photos)))
    model = estimator.ImageClassifier(net, bad_photos="skip").train(photo_input_fn(str(photos)))
    assert "left out 2 of 26 photos" in capsys.readouterr().err
    assert model.evaluate(photo_input_fn(str(photos)))["accuracy"] > 0.9


def test_folders_and_tables_name_their_photos(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", count=3)
    (photos / "blue/.hidden.png").write_bytes(b"")
    (photos / "blue/notes.txt").write_text("no photo")
    found = find_photos(str(photos))
    assert found.labels is not None
    assert (len(found), set(found.labels.tolist())) == (6, {"blue", "green"})
    rows = [f"photos/{name},{name.split('/')[0].upper()}" for _, name in found.files]
    (tmp_path / "table.csv").write_text("path,kind\n" + "\n".join(rows) + "\n")
    named = photo_input_fn(str(tmp_path / "table.csv"), label="kind")()
    assert named.labels is not None
    assert set(named.labels.tolist()) == {"BLUE", "GREEN"}
    assert named.digest() != found.digest()
    (photos / "loose.png").write_bytes((photos / "blue/0.png").read_bytes())
    with pytest.raises(DataError, match=r"1 photos of .* lie in no class's folder"):
        find_photos(str(photos))
    make_photos(tmp_path / "split/train", count=1)
    make_photos(tmp_path / "split/val", count=1)
    with pytest.raises(DataError, match="parts of a split, not classes"):
        find_photos(str(tmp_path / "split"))
    with pytest.raises(NotFoundError, match="there is no folder"):
        photo_input_fn(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no photos"):
        find_photos(str(tmp_path / "empty"))


def test_photos_may_be_links_to_others(tmp_path: Path, home: Path) -> None:
    photos, net = make_photos(tmp_path / "photos", count=6), make_backbone(tmp_path / "net.onnx")
    chosen = tmp_path / "chosen"
    (chosen / "green").mkdir(parents=True)
    (chosen / "blue").symlink_to(photos / "blue")
    for photo in (photos / "green").iterdir():
        (chosen / "green" / photo.name).symlink_to(photo)
    found = find_photos(str(chosen))
    assert [name for _, name in found.files] == [name for _, name in find_photos(str(photos)).files]
    assert found.digest() == find_photos(str(photos)).digest()
    assert estimator.ImageClassifier(net).train(lambda: found).evaluate(lambda: found)["accuracy"] > 0.9


def test_misuse_is_told(tmp_path: Path) -> None:
    net = make_backbone(tmp_path / "net.onnx")
    with pytest.raises(PreconditionError, match="nothing is trained"):
        estimator.ImageClassifier(net).export_saved_model(tmp_path / "export")
    with pytest.raises(ConfigError, match="bad_photos"):
        estimator.ImageClassifier(net, bad_photos="ignore")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="photo_input_fn"):
        estimator.ImageClassifier(net).train(lambda: ({"x": [1]}, [1]))
    with pytest.raises(DataError, match="only the class 'blue'"):
        estimator.ImageClassifier(net).train(photo_input_fn(str(make_photos(tmp_path / "one", classes=1))))


def test_an_experiment_on_photos_trains_registers_and_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos(tmp_path / "photos")
    make_backbone(tmp_path / "net.onnx")
    (tmp_path / "photos.yaml").write_text("data: photos\nestimator: {type: ImageClassifier, backbone: net.onnx}\n")

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(list(words))
        out, err = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, out, err

    status, out, err = run("train", str(tmp_path / "photos.yaml"), "--register", "colours", "--format", "json")
    assert status == 0, err
    made = json.loads(out)
    assert (made["metrics"]["accuracy"], made["version"]) == (1.0, "v1")
    assert "trained already" in run("train", str(tmp_path / "photos.yaml"))[2]
    status, out, err = run("local", "predict", "--model-dir", made["bundle"], str(photos / "green/0.png"))
    assert status == 0, err
    assert json.loads(out)["predictions"][0]["classes"] == ["green"]
    (tmp_path / "bad.png").write_bytes(b"x")
    status, _, err = run("local", "predict", "--model-dir", made["bundle"], str(tmp_path / "bad.png"))
    assert status == 1
    assert "bad.png" in err
    for text, said in [
        ("data: photos\nestimator: {type: ImageClassifier}\n", "needs a backbone"),
        ("data: photos\nestimator: {type: ImageClassifier, backbone: net.onnx, sise: 3}\n", "no argument 'sise'"),
        ("data: nowhere\nestimator: {type: ImageClassifier, backbone: net.onnx}\n", "there is no folder"),
    ]:
        (tmp_path / "bad.yaml").write_text(text)
        status, _, err = run("train", str(tmp_path / "bad.yaml"))
        assert status == 1
        assert said in err


def _given(photos: PhotoInput) -> PhotoInput:
    return photos


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tf2onnx") is None, reason="the extra tensorflow is not installed")
def test_ants_and_bees_by_a_mobile_net(tmp_path: Path, shared_data: Path) -> None:
    import_file(str(shared_data / "models/mobilenet_v2_1.0_224_quant.tflite"), output=str(tmp_path / "net"))
    photos = find_photos([str(shared_data / "photos/hymenoptera" / part) for part in ("train", "val")])
    order = np.random.default_rng(0).permutation(len(photos))
    scores = []
    for fold in range(5):
        test = np.sort(order[fold::5])
        kept, held = photos.take(np.setdiff1d(order, test)), photos.take(test)
        model = estimator.ImageClassifier(tmp_path / "net").train(partial(_given, kept))
        scores.append(model.evaluate(partial(_given, held))["accuracy"])
    assert np.mean(scores) >= 0.9
