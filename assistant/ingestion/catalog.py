"""catalog.csv and orders.csv; each product also becomes a passage that can be found and quoted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from assistant.ingestion.questions import Row, read_csv
from assistant.ingestion.sources import Findings, SourceFile
from assistant.ingestion.splitting import clean
from assistant.records import Order, Passage, PassageId, PassageKind, Product

_PRODUCT_COLUMNS = ("sku", "name", "price", "currency", "barcode")
_PRODUCT_FIELDS = frozenset(
    [*_PRODUCT_COLUMNS, "category", "stock", "description", "image", "model_3d", "related"]
)
_ORDER_COLUMNS = ("order_number", "customer", "email", "placed", "status", "items", "total", "currency")
_ORDER_FIELDS = (*_ORDER_COLUMNS, "delivery_method", "expected", "slot", "address", "note", "customer_id")
_CURRENCY_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "CNY": "¥", "JPY": "¥"}
_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,2})?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def ean13_check_digit(digits: str) -> int:
    """Check digit of the first twelve digits of an EAN-13 (GS1 General Specifications, section 7.9.1)."""
    return -sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits[:12])) % 10


def read_products(source: SourceFile, findings: Findings) -> list[tuple[Product, int]]:
    """Products with their lines; rows with a problem are left out."""
    table = _table(source, _PRODUCT_COLUMNS, findings)
    products: list[tuple[Product, int]] = []
    skus: dict[str, int] = {}
    barcodes: dict[str, int] = {}
    for row in table:
        values = {name: clean(value) for name, value in row.values.items() if name}
        problems = [*_empty(values, _PRODUCT_COLUMNS), *_check_product(values)]
        for kind, value, seen in (("sku", values["sku"], skus), ("barcode", values["barcode"], barcodes)):
            if value and seen.setdefault(value, row.line) != row.line:
                problems.append(
                    f"{kind} {value} stands already in line {seen[value]}; give each product its own"
                )
        for problem in problems:
            findings.add(source.name, row.line, problem)
        if not problems:
            products.append((_product(values), row.line))
    for product, line in products:
        unknown = [sku for sku in product.related if sku not in skus]
        if unknown:
            findings.add(source.name, line, f"related {', '.join(unknown)}: no product has this sku")
        if product.sku in product.related:
            findings.add(source.name, line, f"related {product.sku} is the product itself; remove it")
    return products


def _table(source: SourceFile, required: Sequence[str], findings: Findings) -> list[Row]:
    table = read_csv(source, findings)
    if table is None:
        return []
    header, rows = table
    missing = [name for name in required if name not in header]
    if missing:
        findings.add(source.name, 1, f"column {', '.join(missing)} missing; add it to the first line")
        return []
    if not rows:
        findings.add(source.name, 1, "has no rows below the column names; add some, or remove the file")
    return rows


def _empty(values: Mapping[str, str], required: Sequence[str]) -> list[str]:
    return [f"{name} is empty; fill it in" for name in required if not values[name]]


def _check_product(values: Mapping[str, str]) -> list[str]:
    problems = []
    if values["price"] and not _AMOUNT.fullmatch(values["price"]):
        problems.append(f"price {values['price']!r} is not an amount; write it like 1290.00")
    if values["currency"] and not re.fullmatch(r"[A-Z]{3}", values["currency"]):
        problems.append(f"currency {values['currency']!r} is not a code; write it like EUR")
    barcode = values["barcode"]
    if barcode and not re.fullmatch(r"[0-9]{13}", barcode):
        problems.append(f"barcode {barcode!r} is not an EAN-13; it has 13 digits")
    elif barcode and int(barcode[12]) != (right := ean13_check_digit(barcode)):
        problems.append(
            f"barcode {barcode} has a wrong check digit; with these 12 digits the last is {right}"
        )
    if not re.fullmatch(r"[0-9]{0,9}", values.get("stock", "")):
        problems.append(f"stock {values['stock']!r} is not a number of pieces; write 0 or more")
    for name in ("image", "model_3d"):
        path = values.get(name, "")
        if path.startswith(("/", "\\")) or ".." in PurePosixPath(path.replace("\\", "/")).parts:
            problems.append(f"{name} {path!r} must be a path inside the knowledge folder, or a web address")
    return problems


def _product(values: Mapping[str, str]) -> Product:
    return Product(
        sku=values["sku"],
        name=values["name"],
        price=float(values["price"]),
        currency=values["currency"],
        barcode=values["barcode"],
        category=values.get("category", ""),
        stock=int(values.get("stock") or 0),
        description=values.get("description", ""),
        attributes={name: value for name, value in values.items() if name not in _PRODUCT_FIELDS and value},
        image=values.get("image", ""),
        model_3d=values.get("model_3d", ""),
        related=tuple(part for sku in values.get("related", "").split("|") if (part := sku.strip())),
    )


def product_passage(product: Product, document: str, line: int, language: str) -> Passage:
    """What can be said about a product, as sentences that hold its facts."""
    sign = _CURRENCY_SIGNS.get(product.currency)
    whole = product.price == int(product.price)
    amount = f"{product.price:,.0f}" if whole else f"{product.price:,.2f}"
    price = f"{sign}{amount}" if sign else f"{amount} {product.currency}"
    attributes = [f"{name.replace('_', ' ')} {value}" for name, value in product.attributes.items()]
    stock = (
        f"{product.stock} of the {product.name} are in stock."
        if product.stock > 1
        else f"The last {product.name} is in stock."
        if product.stock
        else f"The {product.name} is out of stock at the moment."
    )
    sentences = [
        f"The {product.name} costs {price}.",
        f"{product.description.rstrip('.')}." if product.description else "",
        f"Details of the {product.name}: {'; '.join(attributes)}." if attributes else "",
        stock,
    ]
    return Passage(
        id=PassageId(f"{document}#{product.sku}"),
        title=product.name,
        text="\n".join(sentence for sentence in sentences if sentence),
        kind=PassageKind.DOCUMENT,
        document=document,
        line=line,
        questions=(product.sku,),
        language=language,
    )


def read_orders(source: SourceFile, pattern: str, findings: Findings) -> list[Order]:
    """Orders; `pattern` is the shop's form of order numbers with # for a digit, "" if it has none."""
    form = re.compile(re.escape(pattern).replace(r"\#", "[0-9]")) if pattern else None
    orders: list[Order] = []
    lines: dict[str, int] = {}
    for row in _table(source, _ORDER_COLUMNS, findings):
        values: dict[str, Any] = {name: clean(row.values.get(name, "")) for name in _ORDER_FIELDS}
        number = values["order_number"]
        problems = _empty(values, _ORDER_COLUMNS)
        if number and form and not form.fullmatch(number):
            problems.append(f"order_number {number!r} does not have the form {pattern} of shop.toml")
        if number and lines.setdefault(number, row.line) != row.line:
            problems.append(f"order_number {number} stands already in line {lines[number]}")
        if values["email"] and not _EMAIL.fullmatch(values["email"]):
            problems.append("email is not an address; write it like name@example.com")
        if values["total"] and not _AMOUNT.fullmatch(values["total"]):
            problems.append(f"total {values['total']!r} is not an amount; write it like 1029.00")
        if values["currency"] and not re.fullmatch(r"[A-Z]{3}", values["currency"]):
            problems.append(f"currency {values['currency']!r} is not a code; write it like EUR")
        problems += [
            f"{name} {values[name]!r} is not a date; write it like 2026-10-15"
            for name in ("placed", "expected")
            if values[name] and not _is_date(values[name])
        ]
        for problem in problems:
            findings.add(source.name, row.line, problem)
        if not problems:
            total = float(values.pop("total"))
            orders.append(Order(total=total, version=0, **values))
    return orders


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
