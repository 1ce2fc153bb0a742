"""Two passages of an invented shop, for the tests of this folder."""

from assistant.protocols import GenerationRequest, Quote
from assistant.records import Message, Role, Source

SOURCES = (
    Source(
        "returns",
        "Returns and refunds",
        "You may return anything within 30 days of delivery. Collecting a sofa costs €49, and we keep it for three "
        "weeks. Refunds take 5 to 7 working days. Start at Orders > Send back or on shop.example.com/returns, and "
        "quote the code BACK-2207.",
        "returns.md",
    ),
    Source(
        "delivery",
        "Delivery to your home",
        "Standard delivery costs €5.90 and is free from €1,200. The Harbour Depot drives from Monday to Friday between "
        "9 am and 17:30, not on 24 December. Call +00 555 0142 or write to post@example.com; spring offers give 15% "
        "off until 1 May.",
        "delivery.md",
    ),
)
HISTORY = (
    Message(Role.CUSTOMER, "I ordered the Lindra lamp twelve days ago"),
    Message(Role.ASSISTANT, "You may return it within 30 days."),
)
QUESTION = "can I bring it on the 3rd of june at eight"
SHOP = "Fern & Oak"
QUOTES = (
    Quote(1, "You may return anything within 30 days of delivery."),
    Quote(2, "Standard delivery costs €5.90 and is free from €1,200."),
)
REQUEST = GenerationRequest(QUESTION, SOURCES, QUOTES, HISTORY, shop=SHOP)
