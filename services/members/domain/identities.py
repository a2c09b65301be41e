"""Who a customer is: by the name that a source has for them, and by the addresses they proved theirs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

__all__ = ["PHONE_CHANNELS", "address_written", "proof_of", "resolve_customers"]

PHONE_CHANNELS = frozenset({"phone", "sms", "voice", "whatsapp"})
# ITU-T E.164: a plus, a country code that never begins with 0, and at most fifteen digits in all.
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
SEPARATORS = re.compile(r"[().\-\u2010-\u2015\s]")

Customer = tuple[str, str]


def address_written(channel: str, address: str) -> str:
    """Write an address in the one way in which it is stored.

    Host names do not tell capitals apart, telephone numbers have no separators. A number without a country
    code stays as it came: guessing one would make two people one.
    """
    if channel == "email":
        name, at, host = address.rpartition("@")
        return f"{name}{at}{host.lower()}"
    if channel in PHONE_CHANNELS:
        digits = SEPARATORS.sub("", address)
        number = f"+{digits[2:]}" if digits.startswith("00") else digits
        return number if E164.fullmatch(number) else address
    return address


def proof_of(channel: str, address: str) -> str | None:
    """Return what a verified address proves: the mailbox, the number, the account; None if it proves nothing.

    Mailboxes do not tell capitals apart, whatever RFC 5321 allows, and a number is the same on every channel.
    """
    written = address_written(channel, address)
    if channel == "email":
        return f"email:{written.lower()}"
    if channel in PHONE_CHANNELS:
        return f"phone:{written}" if E164.fullmatch(written) else None
    return f"{channel}:{written}"


def resolve_customers(
    unknown: Mapping[Customer, UUID],
    proofs: Mapping[Customer, Sequence[str]],
    owners: Mapping[str, Mapping[UUID, UUID]],
) -> dict[Customer, UUID]:
    """Say who customers are whom no source has named before: somebody known, or the new member each has.

    `unknown` are the customers in the order in which they came, each with the id of its new member; `proofs`
    what their verified addresses prove; `owners`, by proof, the persons who have it, each with the member id
    that has it. A customer is somebody known if all that the proofs point to is one person. A proof that two
    persons have points to nobody, and proofs of two persons make a new one: no merge happens in silence.
    """
    known: dict[str, dict[UUID, UUID]] = {proof: dict(persons) for proof, persons in owners.items()}
    resolved: dict[Customer, UUID] = {}
    for customer, new_id in unknown.items():
        said = proofs.get(customer, ())
        pointed = _pointed_to([known[proof] for proof in said if proof in known])
        person_id, member_id = next(iter(pointed.items())) if len(pointed) == 1 else (new_id, new_id)
        resolved[customer] = member_id
        for proof in said:
            known.setdefault(proof, {}).setdefault(person_id, member_id)
    return resolved


def _pointed_to(owners: Iterable[Mapping[UUID, UUID]]) -> dict[UUID, UUID]:
    pointed: dict[UUID, UUID] = {}
    for persons in owners:
        if len(persons) == 1:
            pointed |= persons
    return pointed
