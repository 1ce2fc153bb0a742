"""The pictures and 3D models of the example shop: there, small, sound, and what the script makes."""

from __future__ import annotations

import importlib.util
import io
import json
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
KNOWLEDGE = ROOT / "knowledge"


def load_script() -> ModuleType:
    """tools/ is no package: the script is loaded from its file."""
    spec = importlib.util.spec_from_file_location("demo_media", ROOT / "tools" / "demo_media.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


demo_media = load_script()
PRODUCTS = {product["sku"]: product for product in demo_media.read_catalog()}
PICTURED = [product["image"] for product in PRODUCTS.values() if product["image"]]
MODELLED = {sku: product for sku, product in PRODUCTS.items() if product["model_3d"]}


def read_glb(data: bytes) -> tuple[dict, bytes]:
    """The JSON and the binary chunk of a GLB file whose headers are right."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_length, json_type = struct.unpack_from("<I4s", data, 12)
    binary_length, binary_type = struct.unpack_from("<I4s", data, 20 + json_length)
    assert (json_type, binary_type) == (b"JSON", b"BIN\0")
    start = 28 + json_length
    assert start + binary_length == len(data)
    assert json_length % 4 == binary_length % 4 == 0
    return json.loads(data[20 : 20 + json_length]), data[start:]


def test_every_picture_of_the_catalogue_is_a_small_decodable_jpeg() -> None:
    """A card never falls back to the drawing of its category."""
    assert PICTURED
    for name in PICTURED:
        data = (KNOWLEDGE / name).read_bytes()
        assert len(data) <= 25_000, name
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("JPEG", demo_media.SIZE), name
            assert np.asarray(picture.convert("L")).std() > 3, f"{name} shows nothing"


@pytest.mark.parametrize("sku", MODELLED)
def test_every_model_of_the_catalogue_is_sound_and_measures_what_the_catalogue_says(sku: str) -> None:
    """Seen in a room, a product has its real size; no index or buffer view points beyond its data."""
    data = (KNOWLEDGE / MODELLED[sku]["model_3d"]).read_bytes()
    assert len(data) <= 60_000
    document, binary = read_glb(data)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for node in document["nodes"]:
        if "mesh" not in node:
            continue
        (primitive,) = document["meshes"][node["mesh"]]["primitives"]
        points = document["accessors"][primitive["attributes"]["POSITION"]]
        low = np.minimum(low, np.add(points["min"], node["translation"]))
        high = np.maximum(high, np.add(points["max"], node["translation"]))
        indices = document["accessors"][primitive["indices"]]
        view = document["bufferViews"][indices["bufferView"]]
        assert view["byteOffset"] + view["byteLength"] <= len(binary)
        values = np.frombuffer(binary, "<u2", indices["count"], view["byteOffset"])
        assert values.max() == points["count"] - 1
        normals = document["accessors"][primitive["attributes"]["NORMAL"]]
        place = document["bufferViews"][normals["bufferView"]]["byteOffset"]
        lengths = np.linalg.norm(
            np.frombuffer(binary, "<f4", normals["count"] * 3, place).reshape(-1, 3), axis=1
        )
        assert np.allclose(lengths, 1, atol=1e-3)
    width, depth, height = demo_media.dimensions(MODELLED[sku]["dimensions"])
    assert np.allclose(high - low, [width, height, depth], atol=0.001)
    assert abs(low[1]) < 0.001, "it does not stand on the floor"


def test_all_files_together_stay_small() -> None:
    """They travel with the sources."""
    names = [*PICTURED, *(product["model_3d"] for product in MODELLED.values())]
    assert sum((KNOWLEDGE / name).stat().st_size for name in names) <= 1_500_000


@pytest.mark.parametrize("sku", MODELLED)
def test_the_script_makes_the_models_that_lie_there(sku: str) -> None:
    """Same structure, and the same numbers up to the last bits of sine and cosine."""
    product = MODELLED[sku]
    made, kept = (
        read_glb(data)
        for data in (
            demo_media.to_glb(demo_media.build(product), product["name"]),
            (KNOWLEDGE / product["model_3d"]).read_bytes(),
        )
    )
    assert made[0]["nodes"] == kept[0]["nodes"]
    assert made[0]["materials"] == kept[0]["materials"]
    for view, accessor in zip(made[0]["bufferViews"], made[0]["accessors"], strict=True):
        kind = "<u2" if accessor["componentType"] == 5123 else "<f4"
        place, length = view["byteOffset"], view["byteLength"]
        one, other = (np.frombuffer(data[place : place + length], kind) for data in (made[1], kept[1]))
        assert np.allclose(one, other, atol=2e-4)


@pytest.mark.parametrize("sku", ["SH-901", "LG-851"])
def test_the_script_draws_the_pictures_that_lie_there(sku: str) -> None:
    """Up to what another release of the JPEG library rounds differently."""
    product = PRODUCTS[sku]
    drawn = Image.open(io.BytesIO(demo_media.to_jpeg(demo_media.render(demo_media.build(product)))))
    with Image.open(KNOWLEDGE / product["image"]) as kept:
        difference = np.abs(np.asarray(drawn, dtype=float) - np.asarray(kept, dtype=float))
    assert difference.mean() < 1


def test_every_product_can_be_built() -> None:
    """A product without a shape of its own or its category's would stop the script; all solids are finite."""
    for product in PRODUCTS.values():
        for part in demo_media.build(product):
            assert np.isfinite(part.placed()).all()
            assert np.isfinite(part.normals).all()
            assert part.faces.max() < len(part.points)
