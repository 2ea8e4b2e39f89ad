"""What the definitions beside this file call."""

from __future__ import annotations


def measure(parcel: int) -> int:
    return parcel


def send(by: str, weight: int) -> str:
    return f"{weight} kg by {by}"


def tell(*, said: str) -> str:
    return f"sent {said}"


def pack(item: str) -> str:
    if item == "vase":
        raise ValueError("it broke")
    return f"{item} packed"


def count(packed: list) -> int:
    return sum(one is not None for one in packed)


def below(boxes: list) -> list:
    return [box for box in boxes if box]
