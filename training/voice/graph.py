"""The decoding graph of a Vosk model: lexicon and HMM in one prefix tree (HCLr.fst), and the n-grams (Gr.fst).

The tree is deterministic by construction, so nothing has to be composed or determinised: a word's label stands on
the arc into its last phone, whose word-end variant no other position shares. Needs OpenFst 1.7 with its look-ahead
and n-gram types: Debian's libfst-tools and libfst22-plugins-base.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.voice import ngram, units
from training.voice.mfcc import OPTIONS
from training.voice.units import CLASS_COUNT, CLASS_OF, PHONE_COUNT, SILENCE_PHONE, UNIT_COUNT

UNKNOWN = "[unk]"
_TOOLS = ("fstcompile", "fstarcsort", "fstconvert", "fstrelabel")
_PLUGINS = "usr/lib/*/fst/22"
_PAUSE = math.log(2)  # cost of a pause, and of none, between words
_UNKNOWN_PENALTY = 0.5  # a phone, for what is not in the vocabulary
_DECODER = (
    "--min-active=200", "--max-active=1500", "--beam=9.0", "--lattice-beam=3.0", "--acoustic-scale=0.8",
    "--frame-subsampling-factor=3", f"--endpoint.silence-phones={SILENCE_PHONE}",
    "--endpoint.rule2.min-trailing-silence=0.5", "--endpoint.rule3.min-trailing-silence=1.0",
    "--endpoint.rule4.min-trailing-silence=2.0",
)  # fmt: skip

Arc = tuple[int, int, int, int, float]
Lexicon = Mapping[str, Sequence[tuple[int, ...]]]


def missing() -> list[str]:
    """What must be installed to build a graph and is not."""
    tools = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return tools if tools or _plugins() else ["libfst22-plugins-base"]


def _plugins() -> list[Path]:
    return sorted(Path("/").glob(_PLUGINS))


class _Tree:
    """States and arcs of HCLr, as they grow."""

    def __init__(self) -> None:
        self.arcs: set[Arc] = set()
        self._states = 0
        start, paused = self.state(), self.state()
        self._silence = self.state()
        self._after = {group: self.state() for group in range(1, CLASS_COUNT)}
        # where a word may begin: state, class of what was before, whether a pause may come first
        self.hubs = [(start, 0, True), (paused, 0, False)]
        self.hubs += [(state, group, True) for group, state in self._after.items()]
        self._ends: dict[int, int] = {}
        self._stay(self._silence, SILENCE_PHONE)
        self.arcs.add((self._silence, paused, 0, 0, 0.0))
        for state, group, pause in self.hubs:
            if pause:
                self.arcs.add((state, self._silence, units.entering(group, SILENCE_PHONE), 0, _PAUSE))

    def state(self) -> int:
        self._states += 1
        return self._states - 1

    def _stay(self, state: int, phone: int) -> None:
        self.arcs.add((state, state, units.staying(phone), 0, 0.0))

    def inner(self, phone: int) -> int:
        """A state in a phone that does not end a word."""
        state = self.state()
        self._stay(state, phone)
        return state

    def end(self, phone: int) -> int:
        """The state in a phone that ends a word."""
        if phone not in self._ends:
            state = self._ends[phone] = self.inner(phone)
            self.arcs.add((state, self._after[CLASS_OF[units.unit_of(phone)]], 0, 0, 0.0))
        return self._ends[phone]

    def begin(self, target: int, phone: int, label: int, cost: float = 0.0) -> None:
        """Enter a phone that begins a word, from wherever one may begin."""
        for state, group, pause in self.hubs:
            self.arcs.add(
                (state, target, units.entering(group, phone), label, cost + (_PAUSE if pause else 0.0))
            )

    def step(self, source: int, target: int, unit: int, phone: int, label: int, cost: float = 0.0) -> None:
        """Go on inside a word, after a unit."""
        self.arcs.add((source, target, units.entering(CLASS_OF[unit], phone), label, cost))


def write_tree(lexicon: Lexicon, labels: Mapping[str, int], path: Path) -> tuple[int, int]:
    """Write HCLr as text for fstcompile. Returns: how many states and arcs."""
    tree = _Tree()
    nodes: dict[tuple[int, ...], int] = {}
    for word, variants in lexicon.items():
        for said in variants:
            _add_word(tree, nodes, said, labels[word])
    _add_unknown(tree, _bigram_costs(lexicon), labels[UNKNOWN])
    with path.open("w", encoding="ascii") as file:
        # the start is state 0 and sorts first, which makes it the start for the compiler
        file.writelines(f"{a}\t{b}\t{i}\t{o}\t{cost:.4f}\n" for a, b, i, o, cost in sorted(tree.arcs))
        file.writelines(f"{state}\n" for state, _, _ in tree.hubs)
    return tree.state(), len(tree.arcs)


def _add_word(tree: _Tree, nodes: dict[tuple[int, ...], int], said: tuple[int, ...], label: int) -> None:
    if len(said) == 1:
        phone = units.phone(said[0], "S")
        tree.begin(tree.end(phone), phone, label)
        return
    if said[:1] not in nodes:
        phone = units.phone(said[0], "B")
        nodes[said[:1]] = tree.inner(phone)
        tree.begin(nodes[said[:1]], phone, 0)
    for length in range(2, len(said)):
        if said[:length] not in nodes:
            phone = units.phone(said[length - 1], "I")
            nodes[said[:length]] = tree.inner(phone)
            tree.step(nodes[said[: length - 1]], nodes[said[:length]], said[length - 2], phone, 0)
    phone = units.phone(said[-1], "E")
    tree.step(nodes[said[:-1]], tree.end(phone), said[-2], phone, label)


def _add_unknown(tree: _Tree, costs: Sequence[Sequence[float]], label: int) -> None:
    """Any phones are the unknown word, so that a grammar at run time can have it."""
    voiced = range(1, UNIT_COUNT)
    first = {unit: tree.inner(units.phone(unit, "B")) for unit in voiced}
    inner = {unit: tree.inner(units.phone(unit, "I")) for unit in voiced}
    for unit in voiced:
        cost = costs[0][unit] + _UNKNOWN_PENALTY
        tree.begin(first[unit], units.phone(unit, "B"), 0, cost)
        single = units.phone(unit, "S")
        tree.begin(tree.end(single), single, label, cost + _UNKNOWN_PENALTY)
        for following in voiced:
            cost = costs[unit][following] + _UNKNOWN_PENALTY
            for source in (first[unit], inner[unit]):
                tree.step(source, inner[following], unit, units.phone(following, "I"), 0, cost)
                last = units.phone(following, "E")
                tree.step(source, tree.end(last), unit, last, label, cost)


def _bigram_costs(lexicon: Lexicon) -> list[list[float]]:
    """Negative logs of the chances of units after each other in the lexicon; unit 0 stands for the beginning."""
    counts = [[0.3] * UNIT_COUNT for _ in range(UNIT_COUNT)]
    for variants in lexicon.values():
        for said in variants:
            for before, unit in zip((0, *said), said, strict=False):
                counts[before][unit] += 1
    return [[-math.log(count / sum(row)) for count in row] for row in counts]


def build(folder: Path, lexicon: Lexicon, model: ngram.Model) -> dict[str, int]:
    """Write conf/ and graph/ of a Vosk model.

    Returns: numbers of states and arcs.
    Raises: subprocess.CalledProcessError: a tool failed.
    """
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    (folder / "graph" / "phones").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "mfcc.conf").write_text("\n".join(OPTIONS) + "\n", encoding="ascii")
    (folder / "conf" / "model.conf").write_text("\n".join(_DECODER) + "\n", encoding="ascii")
    graph = folder / "graph"
    (graph / "disambig_tid.int").write_text("", encoding="ascii")  # empty, but it must be there
    boundaries = [f"{number} {units.boundary(number)}\n" for number in range(1, PHONE_COUNT + 1)]
    (graph / "phones" / "word_boundary.int").write_text("".join(boundaries), encoding="ascii")
    words = sorted({*lexicon, UNKNOWN})
    labels = {word: place for place, word in enumerate(words, 1)}
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        states, arcs = write_tree(lexicon, labels, at / "hcl.txt")
        contexts, ngrams = ngram.write_acceptor(model, at / "g.txt", [labels[word] for word in model.words])
        _shell(
            "fstcompile hcl.txt | fstarcsort --sort_type=olabel | "
            "fstconvert --fst_type=olabel_lookahead --save_relabel_opairs=relabel > HCLr.fst",
            at,
        )
        _shell(
            "fstcompile g.txt | fstrelabel --relabel_ipairs=relabel --relabel_opairs=relabel | "
            "fstarcsort --sort_type=ilabel | fstconvert --fst_type=ngram > Gr.fst",
            at,
        )
        pairs = [line.split() for line in (at / "relabel").read_text(encoding="ascii").splitlines()]
        relabelled = {int(old): int(new) for old, new in pairs}
        for file in ("HCLr.fst", "Gr.fst"):
            shutil.copy(at / file, graph / file)
    rows = sorted((relabelled[labels[word]], word) for word in words)
    text = "<eps> 0\n" + "".join(f"{word} {number}\n" for number, word in rows)
    (graph / "words.txt").write_text(text, encoding="utf-8")
    return {"states": states, "arcs": arcs, "contexts": contexts, "ngrams": ngrams}


def _shell(command: str, folder: Path) -> None:
    plugins = os.pathsep.join(str(path) for path in _plugins())
    environment = os.environ | {"LD_LIBRARY_PATH": plugins, "LC_ALL": "C"}
    subprocess.run(["bash", "-o", "pipefail", "-ec", command], check=True, cwd=folder, env=environment)
