"""Tensors and photos as callers send them."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.runtime.bundles import write

from penstock.bundle.manifest import OutputTensor, Signature
from penstock.data.schema import Column, DataType
from penstock.errors import InstanceError
from penstock.export.graph import GraphBuilder
from penstock.runtime.images import decode_photo
from penstock.runtime.instances import InstanceDecoder
from penstock.runtime.model import load_model

PHOTO = Column(name="image", type=DataType.IMAGE, shape=(8, 6, 3))


def decoder(*columns: Column, positional: bool = False) -> InstanceDecoder:
    return InstanceDecoder(Signature(inputs=columns, outputs=(), positional=positional))


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def test_nested_lists_become_one_array() -> None:
    grid = decoder(Column(name="grid", type=DataType.FLOAT, shape=(2, 3)))
    value = [[1, 2, 3], [4, 5, 6.5]]
    for batch in (
        grid.rows([value, value]),
        grid.rows([{"grid": value}, {"grid": value}]),
        grid.columns({"grid": [value, value]}),
        grid.columns({"grid": np.array([value, value], dtype=np.float32)}),
    ):
        assert batch["grid"].tolist() == [value, value]
        assert batch["grid"].dtype == np.float64


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1, 2], [3, 4]], r"has the shape \[2, 2\]; expected the shape \[2, 3\]"),
        ([[1, 2, 3], [4, 5]], "expected numbers in nested lists"),
        ([[1, 2, 3], [4, 5, "x"]], "expected numbers in nested lists"),
        (None, "expected numbers"),
        ([[1, 2, 3], [4, 5, float("inf")]], r"holds inf at \[1, 2\]"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(value: Any, said: str) -> None:
    grid = decoder(Column(name="grid", type=DataType.FLOAT, shape=(2, 3)))
    with pytest.raises(InstanceError, match=said) as refusal:
        grid.rows([{"grid": [[1, 2, 3], [4, 5, 6]]}, {"grid": value}])
    assert refusal.value.index == 1
    assert refusal.value.column == "grid"


def test_free_sizes_agree_within_a_request() -> None:
    words = decoder(Column(name="words", type=DataType.STRING, shape=(None,)))
    assert words.rows([["a", "b"], ["c", "d"]])["words"].tolist() == [["a", "b"], ["c", "d"]]
    with pytest.raises(InstanceError, match="shapes"):
        words.rows([["a", "b"], ["c"]])


def test_positional_rows_are_lists_in_column_order() -> None:
    columns = [Column(name=name, type=DataType.FLOAT) for name in ("a", "b")]
    assert decoder(*columns, positional=True).rows([[1, 2], [3, 4]])["b"].tolist() == [2, 4]
    assert decoder(*columns, positional=True).columns([[1, 2], [3, 4]])["a"].tolist() == [1, 3]
    assert decoder(*columns, positional=True).rows([{"b": 2, "a": 1}])["a"].tolist() == [1]
    with pytest.raises(InstanceError, match="instance 1 has 1 values; expected a list of 2 values, for a, b"):
        decoder(*columns, positional=True).rows([[1, 2], [3]])
    with pytest.raises(InstanceError, match="each instance is an object"):
        decoder(*columns).rows([[1, 2]])


def test_photos_of_every_kind_become_pixels() -> None:
    red = Image.new("RGB", (40, 30), (250, 10, 20))
    animated = io.BytesIO()
    red.save(animated, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")])
    files = {
        "png": file_of(red),
        "webp": file_of(red, "WEBP", lossless=True),
        "jpeg": file_of(red, "JPEG"),
        "cmyk": file_of(red.convert("CMYK"), "JPEG"),
        "gif": animated.getvalue(),
        "tiny": file_of(red.resize((1, 1))),
        "transparent": file_of(red.convert("RGBA")),
    }
    for kind, content in files.items():
        pixels = decode_photo(content, PHOTO)
        assert pixels.shape == (8, 6, 3), kind
        assert np.abs(pixels.astype(int) - [250, 10, 20]).max() <= 8, kind
    gray = decode_photo(file_of(Image.new("L", (20, 20), 77)), PHOTO)
    assert (gray == 77).all()
    deep = decode_photo(file_of(Image.fromarray(np.full((9, 9), 77 * 257, np.uint16))), PHOTO)
    assert (deep == 77).all()
    clear = decode_photo(file_of(Image.new("RGBA", (9, 9), (0, 0, 0, 0))), PHOTO)
    assert (clear == 255).all()


def test_the_orientation_in_exif_counts() -> None:
    image = Image.fromarray(np.concatenate([np.zeros((8, 8, 3)), np.full((8, 8, 3), 255)]).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    plain = decode_photo(file_of(image), PHOTO)
    turned = decode_photo(file_of(image, "JPEG", exif=exif, quality=100), PHOTO)
    assert plain[0].mean() < 10
    assert plain[-1].mean() > 245
    assert turned[0].mean() > 245
    assert turned[-1].mean() < 10


def test_photos_come_as_base64_or_pixels_and_what_is_none_is_named() -> None:
    photos = decoder(PHOTO)
    content = file_of(Image.new("RGB", (8, 8), "white"))
    pixels = np.full((8, 6, 3), 255, np.uint8)
    text = b64(content)["b64"]
    for instance in (b64(content), {"image": b64(content)}, {"image": text}, {"image": pixels.tolist()}):
        assert (photos.rows([instance])["image"] == 255).all()
    assert photos.columns({"image": pixels[None]})["image"].dtype == np.uint8
    assert (photos.columns({"image": np.array([content], dtype=object)})["image"] == 255).all()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    cut = file_of(Image.fromarray(noise), "JPEG")[:900]
    for value, said in [
        (b64(b"text"), "this is none"),
        ({"b64": "€"}, "expected base64"),
        (5, "expected a photo"),
        (None, "expected a photo"),
        (b64(cut), "damaged"),
        ((pixels.astype(int) + 1).tolist(), "holds 256"),
        (pixels[:4].tolist(), r"has the shape \[4, 6, 3\]"),
    ]:
        with pytest.raises(InstanceError, match=said) as refusal:
            photos.rows([{"image": b64(content)}, {"image": value}])
        assert refusal.value.index == 1


def test_a_file_that_says_it_is_huge_is_not_unpacked() -> None:
    huge = file_of(Image.new("1", (20_000, 20_000)))
    with pytest.raises(InstanceError, match="at most"):
        decoder(PHOTO).rows([{"image": b64(huge)}])


def test_a_model_of_tensors_answers(tmp_path: Path) -> None:
    graph = GraphBuilder()
    grid = graph.input("grid", DataType.FLOAT, (None, 2, 2))
    total = graph.node("ReduceSum", [grid, graph.constant([1, 2], np.int64)], keepdims=0)
    graph.output("predictions", total, 11, (None,))
    column = Column(name="grid", type=DataType.FLOAT, shape=(2, 2))
    output = OutputTensor(name="predictions", dtype="float64", shape=(None,))
    model = load_model(write(tmp_path / "bundle", graph, Signature(inputs=(column,), outputs=(output,))))
    batch = model.decode([[[1, 2], [3, 4]], [[0, 0], [0, 1]]])
    assert model.predict(batch)["predictions"].tolist() == [10.0, 1.0]
