"""What storefronts hand in over the bus instead of over HTTP."""

from typing import Annotated, Any

from shared.events.base import Event
from shared.events.fields import says


class StorefrontOrderSubmitted(
    Event,
    type="storefront.order_submitted",
    topic="storefront.orders",
    key="external_order_id",
    body="document",
):
    """A storefront hands in an order; members checks it as if it had come to `POST /v1/orders`.

    The record's value is the order document itself. A producer that cannot set headers may leave them out.

    Stated by: storefronts.
    Heard by: members.
    """

    document: Annotated[
        dict[str, Any], says("The order document, the same JSON object as an item of `POST /v1/orders`.")
    ]
