"""The contract of `Embedder`, held by every implementation, on the real MiniLM weights."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.backends.sentence_transformer import SentenceTransformerEmbedder
from assistant.errors import ConfigError
from assistant.protocols import Embedder

MODELS = Path(__file__).parents[2] / "models" / "retrieval"
TEXTS = [
    "when will my sofa arrive",
    "how do i return a lamp that is broken",
    "my door lock is offline " * 12,
    "",
    "我的订单什么时候到？",
    "Ok 👍",
    "When will my sofa arrive",
]
BUILDERS = {
    "onnx-int8": lambda: OnnxEmbedder(MODELS),
    "torch-float32": lambda: SentenceTransformerEmbedder(number_format="float32"),
    "torch-bfloat16": lambda: SentenceTransformerEmbedder(number_format="bfloat16"),
}
# The padding of a batch moves sums in bfloat16, whose numbers have 8 bits.
LEAST_COSINE = {"onnx-int8": 0.99999, "torch-float32": 0.99999, "torch-bfloat16": 0.999}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def built(request: pytest.FixtureRequest) -> Iterator[tuple[str, Embedder]]:
    """Each implementation, loaded once."""
    threads = torch.get_num_threads()
    yield request.param, BUILDERS[request.param]()
    torch.set_num_threads(threads)


class TestEmbedder:
    """What every `Embedder` promises."""

    def test_vectors_are_contiguous_float32_of_norm_one(self, built: tuple[str, Embedder]) -> None:
        """Shape, type, order in memory and norm are as the protocol says, also for empty and long texts."""
        _, embedder = built
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    @pytest.mark.parametrize("count", [0, 1])
    def test_few_texts_give_as_many_rows(self, built: tuple[str, Embedder], count: int) -> None:
        """No text and one text keep the two dimensions."""
        _, embedder = built
        assert embedder.embed(TEXTS[:count]).shape == (count, embedder.dimension)

    def test_rows_stand_in_the_order_of_the_texts(self, built: tuple[str, Embedder]) -> None:
        """Batches sorted by length come back in the order given."""
        name, embedder = built
        texts = TEXTS * 5
        together = embedder.embed(texts)
        for row, text in zip(together[: len(TEXTS)], TEXTS, strict=True):
            assert row @ embedder.embed([text])[0] > LEAST_COSINE[name]

    def test_meaning_decides_nearness(self, built: tuple[str, Embedder]) -> None:
        """A paraphrase is nearer than another topic."""
        _, embedder = built
        asked, same, other = embedder.embed(
            ["when will my sofa arrive", "delivery date of my couch", "the lamp flickers"]
        )
        assert asked @ same > asked @ other + 0.2

    def test_threads_get_the_same_vectors(self, built: tuple[str, Embedder]) -> None:
        """Concurrent calls of different shapes neither fail nor mix."""
        _, embedder = built
        batches = [TEXTS[:size] for size in (1, 2, 4)] * 3
        alone = [embedder.embed(batch) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            for expected, found in zip(alone, pool.map(embedder.embed, batches), strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_identity_names_model_format_and_weights(self, built: tuple[str, Embedder]) -> None:
        """The identity has the three parts that serving looks at, and is the same for a second instance."""
        name, embedder = built
        model, number_format, weights = embedder.identity.split("/")
        assert (model, number_format) == ("minilm-l6", name)
        assert len(weights) == 12
        assert BUILDERS[name]().identity == embedder.identity


def test_long_text_is_cut_to_what_the_onnx_graph_takes() -> None:
    """Everything behind the 128th word piece is left out, as in training."""
    embedder = OnnxEmbedder(MODELS)
    first, second = embedder.embed(["lamp " * 128, "lamp " * 128 + "refund " * 500])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_onnx_embedder_loads_without_torch() -> None:
    """The quick start and the small memory of the ONNX back-end do not get lost by an import."""
    code = (
        "import sys; from pathlib import Path; from assistant.backends.onnx_encoder import OnnxEmbedder; "
        f"OnnxEmbedder(Path({str(MODELS)!r})).embed(['hello']); "
        "import json; print(json.dumps(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_unknown_model_name_says_how_to_get_it() -> None:
    """A hub name that is not on this machine is refused without a download."""
    with pytest.raises(ConfigError, match="hf download nobody/no-such-model"):
        SentenceTransformerEmbedder("nobody/no-such-model")


def test_missing_onnx_file_is_named(tmp_path: Path) -> None:
    """An incomplete models folder is an error the operator can act on."""
    with pytest.raises(ConfigError, match=r"encoder/model\.onnx is missing"):
        OnnxEmbedder(tmp_path)


def test_broken_onnx_file_is_refused(tmp_path: Path) -> None:
    """A file that is no ONNX graph is a configuration error, not a crash of the library."""
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        OnnxEmbedder(tmp_path)
