"""A small catalogue with vectors that can be read off: one dimension for each kind of product."""

import numpy as np

from assistant.records import Interaction, Product
from assistant.skills.taste import Taste

KINDS = ("lamps", "sofas", "hubs", "sensors")
GOODS = (
    Product(
        "LG-1",
        "Egret floor lamp",
        190.0,
        "EUR",
        "2000000000015",
        "lamps",
        14,
        "Reading lamp.",
        {"colour": "brass"},
        related=("SF-1",),
    ),
    Product(
        "LG-2",
        "Cowrie pendant lamp",
        135.0,
        "EUR",
        "2000000000022",
        "lamps",
        3,
        "Stoneware shade.",
        {"colour": "cream"},
    ),
    Product(
        "LG-3",
        "Plover desk lamp",
        80.0,
        "EUR",
        "2000000000039",
        "lamps",
        0,
        "Small lamp.",
        {"colour": "black"},
    ),
    Product(
        "SF-1",
        "Sedge sofa",
        1290.0,
        "EUR",
        "2000000000046",
        "sofas",
        5,
        "Three seats.",
        {"colour": "moss green", "dimensions": "218 x 92 x 84 cm"},
        model_3d="models/sofa.glb",
    ),
    Product(
        "SF-2",
        "Marl sofa bed",
        1090.0,
        "EUR",
        "2000000000053",
        "sofas",
        6,
        "Folds out.",
        {"colour": "stone grey"},
    ),
    Product(
        "SH-1",
        "Holt Hub",
        89.0,
        "EUR",
        "2000000000060",
        "hubs",
        58,
        "Heart of the home.",
        {"colour": "white"},
        related=("SH-3",),
    ),
    Product(
        "SH-2", "Holt Hub Mini", 49.0, "EUR", "2000000000077", "hubs", 73, "Small hub.", {"colour": "white"}
    ),
    Product(
        "SH-3",
        "Whisker door sensor",
        25.0,
        "EUR",
        "2000000000084",
        "sensors",
        145,
        "Tells when a door opens.",
        {"colour": "white"},
    ),
    Product(
        "SH-4",
        "Whisker leak sensor",
        29.0,
        "EUR",
        "2000000000091",
        "sensors",
        77,
        "Sounds an alarm.",
        {"colour": "white"},
    ),
)


def vectors() -> np.ndarray:
    """Products of a kind are nearly alike, of different kinds not at all."""
    rows = np.zeros((len(GOODS), len(KINDS) + 1), np.float32)
    for place, product in enumerate(GOODS):
        rows[place, KINDS.index(product.category)] = 1.0
        rows[place, -1] = 0.1 * place
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def history() -> list[Interaction]:
    """Hubs and sensors are bought together, sofas and lamps looked at together; hubs most of all."""
    found = []
    for number in range(30):
        skus = ("SH-1", "SH-3", "SH-4") if number % 3 else ("SF-1", "LG-1", "SF-2")
        for step, sku in enumerate(skus):
            kind = "purchase" if number % 5 == 0 else "view"
            found.append(
                Interaction(f"C-{number}", sku, kind, f"2026-11-{number % 20 + 1:02d}T10:00:{step:02d}")
            )
    return found


def taste() -> Taste:
    return Taste(GOODS, vectors(), history())
