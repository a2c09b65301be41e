"""Published figures that changed afterwards."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import Identifier, Instant, Positive, Title, says


class ReportRestated(Event, type="report.restated", topic="reports", key="report_id"):
    """A figure that was published has changed, because something late arrived.

    Stated by: analytics (not yet).
    Heard by: messaging, storefronts.
    """

    report_id: Annotated[UUID, says("The report.")]
    figure: Annotated[Identifier, says("The figure, such as `revenue_minor`.")]
    subject: Annotated[Title, says("What the figure is about: a day, a campaign, a product.")]
    from_value: Annotated[str, says("The value as published, written as a decimal number.")]
    to_value: Annotated[str, says("The value from now on, written as a decimal number.")]
    revision: Annotated[Positive, says("Revision of the figure; the first publication is 1.")]
    restated_at: Annotated[Instant, says("When it changed.")]
