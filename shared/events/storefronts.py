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
    """A storefront hands in an order or a delivery; members checks it as if it had come over HTTP.

    The record's value is the document itself, as `POST /v1/orders` takes it; one without lines and with
    `delivered_at` is a delivery, as `POST /v1/deliveries` takes it. A producer that cannot set headers may
    leave them out.

    Stated by: storefronts.
    Heard by: members.
    """

    document: Annotated[
        dict[str, Any], says("The JSON object, as an item of `POST /v1/orders` or `POST /v1/deliveries`.")
    ]
