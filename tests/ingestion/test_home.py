"""devices.yaml and events.csv: what is read, every problem with its line, and the way through a snapshot."""

from pathlib import Path

import pytest

from assistant.ingestion.home import read_devices, read_events
from assistant.ingestion.sources import Findings, SourceFile
from assistant.records import Device, DeviceType, Interaction, Product

PRODUCTS = [Product("L-1", "Lumo lamp", 20.0, "EUR", "2000000000008")]
KNOWLEDGE = Path(__file__).parents[2] / "knowledge"
GOOD = "{id: a, name: Lamp, room: Hall, type: lamp, topic: t/a}"


def devices(text: str) -> tuple[list[Device], list[str]]:
    findings = Findings()
    found = read_devices(SourceFile("devices.yaml", Path("devices.yaml"), text.encode()), findings)
    return found, [str(problem) for problem in findings.problems]


def events(text: str) -> tuple[list[Interaction], list[str]]:
    findings = Findings()
    found = read_events(SourceFile("events.csv", Path("events.csv"), text.encode()), PRODUCTS, findings)
    return found, [str(problem) for problem in findings.problems]


def test_homes_are_read() -> None:
    """Names and rooms are lower case, as they are compared; guests belong to every device of the home."""
    found, problems = devices(f"homes:\n  - owner: C-1\n    guests: [C-2]\n    devices:\n      - {GOOD}\n")
    assert problems == []
    assert found == [Device("a", "lamp", "hall", DeviceType.LAMP, "C-1", "t/a", ("C-2",))]


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("{id: a}", "needs name"),
        ("{id: A b, name: x, room: y, type: lamp, topic: t}", "id of a device"),
        ("{id: a, name: x, room: y, type: oven, topic: t}", "unknown type 'oven'"),
        ("{id: a, name: x, room: y, type: lamp, topic: t/#}", "must not hold"),
        ("{id: a, name: x, room: y, type: lamp, topic: t, colour: red}", "unknown key 'colour'"),
        ("{id: a, name: x, room: y, type: lock, topic: t, pin: '4711'}", "never the PIN itself"),
        ("{id: a, name: x, room: y, type: lamp, topic: t, also: x}", "list of other names"),
        ("just text", "needs id"),
    ],
)
def test_problem_of_a_device_is_told_with_its_line(device: str, problem: str) -> None:
    """The others are read all the same."""
    found, problems = devices(f"homes:\n  - owner: C-1\n    devices:\n      - {GOOD}\n      - {device}\n")
    assert [one.id for one in found] == ["a"]
    assert len(problems) == 1
    assert problems[0].startswith("devices.yaml:5: ")
    assert problem in problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "homes: []",
        "x: 1",
        "homes: [1]",
        "homes:\n  - devices: []",
        "homes:\n  - owner: C-1",
        "homes: {",
        "- 1",
    ],
)
def test_file_that_holds_no_homes_is_a_problem(text: str) -> None:
    """Nothing of it is served."""
    found, problems = devices(text)
    assert found == []
    assert problems


def test_device_twice_in_a_home_is_a_problem() -> None:
    """Ids are unique within a home, not between homes."""
    home = f"  - owner: OWNER\n    devices:\n      - {GOOD}\n      - {GOOD}\n"
    assert "stands twice" in devices("homes:\n" + home.replace("OWNER", "C-1"))[1][0]
    single = f"  - owner: OWNER\n    devices: [{GOOD}]\n"
    assert devices("homes:\n" + single.replace("OWNER", "C-1") + single.replace("OWNER", "C-2"))[1] == []


def test_events_are_read_in_order() -> None:
    """Oldest first, whatever the order of the rows."""
    found, problems = events(
        "customer,sku,kind,at\nC-1,L-1,purchase,2026-11-02T10:00:00\nC-1,L-1,view,2026-11-01T10:00:00\n"
    )
    assert problems == []
    assert [event.kind for event in found] == ["view", "purchase"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (",L-1,view,2026-11-01T10:00:00", "customer is empty"),
        ("C-1,X-9,view,2026-11-01T10:00:00", "not in catalog.csv"),
        ("C-1,L-1,stare,2026-11-01T10:00:00", "unknown kind"),
        ("C-1,L-1,view,yesterday", "not a time"),
        ("C-1,L-1,view,2026-11-01T10:00:00+01:00", "not a time"),
    ],
)
def test_problem_of_an_event_is_told_with_its_line(row: str, problem: str) -> None:
    """Rows are counted from the line of the names."""
    _, problems = events(f"customer,sku,kind,at\n{row}\n")
    assert problems[0].startswith("events.csv:2: ")
    assert problem in problems[0]


def test_missing_column_is_told() -> None:
    """By its name."""
    assert "column kind missing" in events("customer,sku,at\nC-1,L-1,2026-11-01\n")[1][0]


def test_events_of_the_example_shop_are_what_the_generator_writes() -> None:
    """knowledge/events.csv is not edited by hand."""
    from benchmarks.demonstration_events import events as generate
    from benchmarks.demonstration_events import load_products

    lines = (KNOWLEDGE / "events.csv").read_text(encoding="utf-8").splitlines()[1:]
    made = [
        f"{customer},{sku},{kind},{at.replace(microsecond=0).isoformat()}"
        for customer, sku, kind, at in generate(load_products(KNOWLEDGE))
    ]
    assert lines == made
